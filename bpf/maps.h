/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps and constants of the program. User space sets every max_entries
 * (but ring's and reason_counters') and the constants before it loads; what
 * stands here is for a load by hand.
 */
#ifndef BALLAST_MAPS_H
#define BALLAST_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lb_types.h"

#define DEFAULT_FLOW_BUCKETS 1024

const volatile struct lb_config config = {
	.mtu = 1500,
	.flow_buckets = DEFAULT_FLOW_BUCKETS,
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
	__uint(max_entries, DEFAULT_FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows SEC(".maps");

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
