/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Connections of which only a SYN was seen. Their entries, of the same form as
 * those of flows, have a table of their own, so small that it stays in the
 * CPU's cache: a SYN waits for no memory, and a flood of SYNs displaces
 * nothing but other SYNs. The first packet after the SYN moves the entry to
 * the flow table (confirm_flow).
 *
 * A bucket takes any number of SYNs: each takes the place of its own entry, of
 * an empty one, or of the oldest. Whose entry is displaced before it is
 * confirmed goes by the ring again, which says the same unless it changed in
 * between.
 *
 * Services that the kernel's load balancer hands over or takes back have none
 * of this: there a connection without an entry is the kernel's.
 */
#ifndef BALLAST_HALF_OPEN_H
#define BALLAST_HALF_OPEN_H

#include "flow_table.h"
#include "maps.h"

/* Bits of bucket_hash that name the bucket, the highest. */
#define HALF_OPEN_BITS 16

/* A SYN that nothing came after for so long was not answered, in FLOW_TICK units. */
#define HALF_OPEN_TICKS 4

/* How good a place is, as a number: from the highest bits how long it was idle (32), its turn (8), its way (8). */
#define HALF_OPEN_IDLE_SHIFT 16
#define HALF_OPEN_TURN_SHIFT 8
#define HALF_OPEN_EMPTY (1ULL << 32)
#define HALF_OPEN_OWN (1ULL << 33)

/* buckets: of bucket_hash. */
static __always_inline struct flow_bucket *half_open_bucket(__u64 buckets)
{
	__u32 index = buckets >> (64 - HALF_OPEN_BITS) & (config.half_open_buckets - 1);

	return bpf_map_lookup_elem(&half_open, &index);
}

/*
 * Of entries of the same age, which one goes depends on the newcomer: else one
 * of four would take all SYNs of a second. tag: of the newcomer.
 */
static __always_inline __u64 find_half_open(struct flow_bucket *bucket, __u64 tag, __u32 now)
{
	__u64 best = 0;

#pragma unroll
	for (__u64 way = 0; way < FLOW_WAYS; way++) {
		volatile struct flow *place = &bucket->ways[way];
		__u64 data = place->data;
		__u64 idle = flow_generation(data) ? flow_idle(data, now) : HALF_OPEN_EMPTY;

		if ((place->check ^ (data & FLOW_IDENTITY_MASK)) == tag)
			idle = HALF_OPEN_OWN;
		idle = idle << HALF_OPEN_IDLE_SHIFT |
		       ((way ^ tag) % FLOW_WAYS) << HALF_OPEN_TURN_SHIFT | way;
		if (idle > best)
			best = idle;
	}
	return best;
}

/* Where a SYN leaves its entry; NULL: there is no such table. bytes: of the frame, for the counters. */
static __always_inline struct flow *half_open_place(__u64 buckets, __u64 tag, __u32 now,
						    __u32 bytes)
{
	struct flow_bucket *bucket = half_open_bucket(buckets);
	__u64 best;

	if (!bucket)
		return NULL;
	best = find_half_open(bucket, tag, now);
	if (best >> HALF_OPEN_IDLE_SHIFT < HALF_OPEN_TICKS)
		count_reason(REASON_SYN_EVICTED, bytes);
	return &bucket->ways[best % FLOW_WAYS];
}

#endif
