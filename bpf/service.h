/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The service of a packet, and its ring.
 *
 * What is looked up is the kernel's hash of services, after that of VIPs: what
 * is to no VIP, most of what comes here, asks one of them and no more. Where
 * a service was found stays in service_hints, a plain array, and is taken from
 * there as long as the ring at that place says itself that it is the key's.
 * A hint is so never wrong, and nobody has to keep hints in step with tables:
 * of a service that is gone, the ring goes last.
 */
#ifndef BALLAST_SERVICE_H
#define BALLAST_SERVICE_H

#include "hash.h"
#include "maps.h"
#include "parse.h"
#include "port_ranges.h"

#define SERVICE_NOT_VIP 0xfffffffe

#define HINT_BITS 13

/* The number of the service, and above it the lower half of what its key comes to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << HINT_BITS);
	__type(key, __u32);
	__type(value, __u64);
} service_hints SEC(".maps");

struct found_service {
	struct ring *ring; /* NULL: there is none of that number */
	__u32 id;
};

static __always_inline struct ring *find_ring(__u32 service)
{
	__u32 first = 0;
	void *map = bpf_map_lookup_elem(&rings, &service);

	return map ? bpf_map_lookup_elem(map, &first) : NULL;
}

/* What stands behind the VIP. From its parts, because a word that was just stored in parts is slow to load. */
static __always_inline __u32 key_end(const struct service_key *key)
{
	return key->port | (__u32)key->protocol << 16;
}

/* Not keyed: clients do not choose the addresses and ports of services, and nothing else is hinted at. */
static __always_inline __u64 hash_key(const struct service_key *key)
{
	const word64 *vip = (const word64 *)key->vip.bytes;

	return (vip[0] * HASH_B ^ vip[1] ^ (__u64)key_end(key) << 8) * HASH_A;
}

static __always_inline bool is_key_of(const struct ring *ring, const struct service_key *key)
{
	const word64 *own = (const word64 *)ring->key.vip.bytes;
	const word64 *vip = (const word64 *)key->vip.bytes;

	return own[0] == vip[0] && own[1] == vip[1] && load32(&ring->key.port) == key_end(key);
}

static __always_inline bool take_hint(const struct service_key *key, __u64 hash,
				      struct found_service *found)
{
	__u32 place = hash >> (64 - HINT_BITS);
	__u64 *hint = bpf_map_lookup_elem(&service_hints, &place);
	__u64 seen;

	if (!hint)
		return false;
	seen = *(volatile __u64 *)hint;
	if (seen >> 32 != (hash & 0xffffffff))
		return false;
	found->id = seen;
	found->ring = find_ring(seen);
	return found->ring && !found->ring->end_port && is_key_of(found->ring, key);
}

/*
 * An id, SERVICE_NONE, or SERVICE_NOT_VIP. Not a global function: before Linux
 * 6.2 what such a one was given is no key of a map.
 */
static __noinline __u32 look_up_service(struct service_key *key)
{
	struct service *service;
	__u64 *hint, hash;
	__u32 place;

	if (!bpf_map_lookup_elem(&vips, &key->vip))
		return SERVICE_NOT_VIP;
	service = bpf_map_lookup_elem(&services, key);
	if (!service)
		return ranged_service(key);
	hash = hash_key(key);
	place = hash >> (64 - HINT_BITS);
	hint = bpf_map_lookup_elem(&service_hints, &place);
	if (hint)
		*(volatile __u64 *)hint = hash << 32 | service->id;
	return service->id;
}

/* False: there is none, and id says which of the two. */
static __always_inline bool find_service(struct service_key *key, struct found_service *found)
{
	if (take_hint(key, hash_key(key), found))
		return true;
	found->id = look_up_service(key);
	if (found->id >= SERVICE_NOT_VIP)
		return false;
	found->ring = find_ring(found->id);
	return true;
}

#endif
