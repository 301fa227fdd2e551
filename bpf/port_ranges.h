/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The service of a packet: that of its very port, else the one with the narrowest range that has it. */
#ifndef BALLAST_PORT_RANGES_H
#define BALLAST_PORT_RANGES_H

#include "maps.h"
#include "parse.h"

#define SERVICE_NONE 0xffffffff
#define SERVICE_NOT_VIP 0xfffffffe

/*
 * An id, SERVICE_NONE, or SERVICE_NOT_VIP: what is to no VIP is most of what comes here, and is not to pay
 * for ranges. The key is as it was when this returns: for a copy, a caller's stack would be too
 * small. Not a global function: before Linux 6.2 what such a one was given is no key of a map.
 */
static __noinline __u32 ranged_service(struct service_key *key)
{
	struct port_ranges *ranges;
	__be16 wanted;
	__u16 port;

	if (!bpf_map_lookup_elem(&vips, &key->vip))
		return SERVICE_NOT_VIP;
	wanted = key->port;
	port = bpf_ntohs(wanted);
	key->port = 0;
	ranges = bpf_map_lookup_elem(&port_ranges, key);
	key->port = wanted;
	if (!ranges)
		return SERVICE_NONE;
	for (__u32 i = 0; i < PORT_RANGES && i < ranges->used; i++) {
		const struct port_range *range = &ranges->ranges[i];

		if (port >= range->first && port <= range->last)
			return range->service.id;
	}
	return SERVICE_NONE;
}

/* False: there is none, and id says which of the two. */
static __always_inline bool find_service(struct service_key *key, __u32 *id)
{
	struct service *service = bpf_map_lookup_elem(&services, key);

	/* In this order, what the verifier has seen after a range covers an exact port too. */
	if (__builtin_expect(!service, 1)) {
		*id = ranged_service(key);
		return *id < SERVICE_NOT_VIP;
	}
	*id = service->id;
	return true;
}

#endif
