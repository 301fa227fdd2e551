/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which backend a flow has. See lb_types.h for the form of an entry, and for
 * why no lock is needed.
 *
 * A new entry goes to its first bucket while that has at most one, else to the
 * one with more room: that fills the table to half before 1 in 40,000 finds
 * none, where "the first that has room" loses 1 in 300, and while the table is
 * not that full, nearly all are found where they are looked for first. With no
 * room it displaces the least worthy of both buckets (enum
 * worth), the longest idle among those, but never an entry worth more than
 * itself: nobody can push out a connection with forged SYNs, or with forged
 * UDP.
 *
 * Whether a member of *another* service's entry is gone is not to be seen
 * here. Such entries leave as all others do: their flow re-hashes and
 * overwrites them, or they expire.
 */
#ifndef BALLAST_FLOW_TABLE_H
#define BALLAST_FLOW_TABLE_H

#include "hash.h"

/* What an entry is worth, lowest first. From WORTH_SYN on it is a live flow's. */
enum worth {
	WORTH_NOTHING, /* empty */
	WORTH_EXPIRED,
	WORTH_FIN,
	WORTH_SYN,
	WORTH_UDP,
	WORTH_CONFIRMED,
};

/* An entry's place, and its data as it was found. */
struct found_flow {
	struct flow *place;
	__u64 data;
};

/*
 * Where a newcomer may go in a bucket, as a number: but for the way, the lesser
 * of two buckets' is the better. From the highest bits: entries that are worth
 * something (8 bits; none count as one); of the least worthy entry: its worth
 * (8), how recently it was used (32), its way (16).
 */
#define VICTIM_TAKEN_SHIFT 56
#define VICTIM_WORTH_SHIFT 48
#define VICTIM_RECENT_SHIFT 16

static __always_inline __u32 flow_bits(__u64 data, __u32 shift, __u32 bits)
{
	return data >> shift & ((1ULL << bits) - 1);
}

static __always_inline __u32 flow_state(__u64 data)
{
	return flow_bits(data, FLOW_STATE_SHIFT, FLOW_STATE_BITS);
}

static __always_inline __u32 flow_generation(__u64 data)
{
	return flow_bits(data, FLOW_GENERATION_SHIFT, FLOW_GENERATION_BITS);
}

/* Ticks, of which only the lowest FLOW_STAMP_BITS count: they come round after 208 days. */
static __always_inline __u32 flow_now(void)
{
	return bpf_ktime_get_coarse_ns() >> FLOW_TICK_SHIFT & ((1 << FLOW_STAMP_BITS) - 1);
}

/* A stamp ahead of `now` is another CPU's, which saw the clock tick first. */
static __always_inline __u32 flow_idle(__u64 data, __u32 now)
{
	__s32 ticks = (now - flow_bits(data, FLOW_STAMP_SHIFT, FLOW_STAMP_BITS))
		      << (32 - FLOW_STAMP_BITS);

	return ticks < 0 ? 0 : ticks >> (32 - FLOW_STAMP_BITS);
}

static __always_inline __u64 flow_data(__u64 identity, __u32 now, enum flow_state state)
{
	return identity | (__u64)now << FLOW_STAMP_SHIFT | state;
}

static __always_inline __u64 flow_identity(__u32 index, __u32 generation)
{
	return (__u64)generation << FLOW_GENERATION_SHIFT | (__u64)index << FLOW_INDEX_SHIFT;
}

static __always_inline enum worth flow_worth(__u64 data, __u32 idle)
{
	if (!flow_generation(data))
		return WORTH_NOTHING;
	switch (flow_state(data)) {
	case FLOW_SYN:
		return idle < FLOW_SYN_TICKS ? WORTH_SYN : WORTH_EXPIRED;
	case FLOW_CONFIRMED:
		return idle < FLOW_CONFIRMED_TICKS ? WORTH_CONFIRMED : WORTH_EXPIRED;
	case FLOW_FIN:
		return idle < FLOW_FIN_TICKS ? WORTH_FIN : WORTH_EXPIRED;
	case FLOW_UDP:
		return idle < FLOW_UDP_TICKS ? WORTH_UDP : WORTH_EXPIRED;
	default:
		return WORTH_EXPIRED;
	}
}

static __always_inline enum worth state_worth(enum flow_state state)
{
	switch (state) {
	case FLOW_SYN:
		return WORTH_SYN;
	case FLOW_FIN:
		return WORTH_FIN;
	case FLOW_UDP:
		return WORTH_UDP;
	default:
		return WORTH_CONFIRMED;
	}
}

static __always_inline struct found_flow find_in_bucket(struct flow_bucket *bucket, __u64 tag)
{
#pragma unroll
	for (int way = 0; way < FLOW_WAYS; way++) {
		volatile struct flow *place = &bucket->ways[way];
		__u64 data = place->data;

		if ((place->check ^ (data & FLOW_IDENTITY_MASK)) == tag && flow_generation(data))
			return (struct found_flow){ (struct flow *)place, data };
	}
	return (struct found_flow){};
}

/*
 * A global function: the verifier looks at it once, by itself. As a part of
 * its caller, the ways' branches would multiply beyond what it looks at.
 */
__noinline __u64 find_victim(struct flow_bucket *bucket, __u32 now)
{
	__u64 taken = 0, victim = ~0ULL;

	if (!bucket)
		return victim;
	for (__u64 way = 0; way < FLOW_WAYS; way++) {
		__u64 data = ((volatile struct flow *)&bucket->ways[way])->data;
		__u32 idle = flow_idle(data, now);
		enum worth worth = flow_worth(data, idle);
		__u64 candidate = (__u64)worth << VICTIM_WORTH_SHIFT |
				  (__u64)~idle << VICTIM_RECENT_SHIFT | way;

		if (worth > WORTH_EXPIRED)
			taken++;
		if (candidate < victim)
			victim = candidate;
	}
	return (taken ?: 1) << VICTIM_TAKEN_SHIFT | victim;
}

static __always_inline enum worth victim_worth(__u64 victim)
{
	return victim >> VICTIM_WORTH_SHIFT & 0xff;
}

static __always_inline bool is_better_victim(__u64 one, __u64 other)
{
	return one >> VICTIM_RECENT_SHIFT < other >> VICTIM_RECENT_SHIFT;
}

static __always_inline struct flow *victim_place(struct flow_bucket *bucket, __u64 victim)
{
	return &bucket->ways[victim % FLOW_WAYS];
}

static __always_inline void write_flow(struct flow *place, __u64 tag, __u64 data)
{
	volatile struct flow *shared = place;

	shared->data = data;
	shared->check = tag ^ (data & FLOW_IDENTITY_MASK);
}

static __always_inline void renew_flow(struct found_flow found, __u64 data)
{
	((volatile struct flow *)found.place)->data = data;
}

#endif
