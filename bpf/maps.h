/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps and constants of the program. User space sets every max_entries
 * (but those of a fixed size) and the constants before it loads; what
 * stands here is for a load by hand.
 */
#ifndef BALLAST_MAPS_H
#define BALLAST_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lb_types.h"

#define DEFAULT_NEAR_BUCKETS 256
#define DEFAULT_HALF_OPEN_BUCKETS 1024

/* Of the maps that have the same size on every node. */
#define ACCESS_PREFIXES (1 << 18)
#define QUIC_SERVERS (1 << 17)
#define FLOW_LIMITS (1 << 16)
#define FRAGMENTS (1 << 14)

const volatile struct lb_config config = {
	.mtu = 1500,
	.near_buckets = DEFAULT_NEAR_BUCKETS,
	.half_open_buckets = DEFAULT_HALF_OPEN_BUCKETS,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct service_key);
	__type(value, struct port_ranges);
} port_ranges SEC(".maps");

/* Sizes and no types: behind two pointers, clang 14 leaves struct ring incomplete. */
struct ring_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ring));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__array(values, struct ring_map);
} rings SEC(".maps");

/* Mappable also because only then its values start at a page, and a bucket fills one cache line. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DEFAULT_NEAR_BUCKETS * (1 + FAR_PER_NEAR));
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows SEC(".maps");

/* Mappable for the same reason. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DEFAULT_HALF_OPEN_BUCKETS);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} half_open SEC(".maps");

/* Takes memory for what is in it alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ACCESS_PREFIXES);
	__type(key, struct access_key);
	__type(value, struct access_prefix);
} access_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, QUIC_SERVERS);
	__type(key, struct quic_server_key);
	__type(value, struct quic_server);
} quic_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOW_LIMITS);
	__type(key, struct flow_limit_key);
	__type(value, struct flow_limit);
} flow_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct member_counters);
} member_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, struct reason_counters);
} reason_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LIMITED_COUNT);
	__type(key, __u32);
	__type(value, struct limit);
} limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* bytes: of the frame as it arrived, less VLAN tags. */
static __always_inline void count_reason(enum reason reason, __u32 bytes)
{
	__u32 index = reason;
	struct reason_counters *counters = bpf_map_lookup_elem(&reason_counters, &index);

	if (!counters)
		return;
	counters->packets++;
	counters->bytes += bytes;
}

/* bytes: of the inner IP packet. */
static __always_inline void count_member(__u32 index, __u32 bytes, __u32 new_flows)
{
	struct member_counters *counters = bpf_map_lookup_elem(&member_counters, &index);

	if (!counters)
		return;
	counters->packets++;
	counters->bytes += bytes;
	counters->new_flows += new_flows;
}

#endif
