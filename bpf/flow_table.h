/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which backend a flow has. See lb_types.h for the form of an entry, and for
 * why no lock is needed.
 *
 * A new entry goes to its near bucket, the only one of a fifth of the table,
 * else to its far bucket of the rest, else to the one beside that: this holds
 * the flows asked for before 1 in 13,000 finds no room. While there are an eighth of them, all but 1 in 200 are near,
 * where there is less memory to translate and to have in the cache. With no
 * room it displaces the least worthy of the three buckets (enum
 * worth), the longest idle among those, but never an entry worth more than
 * itself: nobody can push out a connection with forged SYNs, or with forged
 * UDP.
 *
 * The ways of a bucket are filled in their order, and never emptied
 * (forget_flow): while the last one is empty, no flow went on from there to
 * the next bucket.
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
 * The least worthy entry of a bucket, as a number: but for the way, the lesser
 * of two buckets' is the better. From the highest bits: its worth (16), how
 * recently it was used (32), its way (16).
 */
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

/* Whether it ever had as many entries as it has ways. */
static __always_inline bool was_full(struct flow_bucket *bucket)
{
	return flow_generation(((volatile struct flow *)&bucket->ways[FLOW_WAYS - 1])->data);
}

/*
 * A global function: the verifier looks at it once, by itself. As a part of
 * its caller, the ways' branches would multiply beyond what it looks at.
 */
__noinline __u64 find_victim(struct flow_bucket *bucket, __u32 now)
{
	__u64 victim = ~0ULL;

	if (!bucket)
		return victim;
	for (__u64 way = 0; way < FLOW_WAYS; way++) {
		__u64 data = ((volatile struct flow *)&bucket->ways[way])->data;
		__u32 idle = flow_idle(data, now);
		enum worth worth = flow_worth(data, idle);
		__u64 candidate = (__u64)worth << VICTIM_WORTH_SHIFT |
				  (__u64)~idle << VICTIM_RECENT_SHIFT | way;

		if (candidate < victim)
			victim = candidate;
	}
	return victim;
}

static __always_inline enum worth victim_worth(__u64 victim)
{
	return victim >> VICTIM_WORTH_SHIFT;
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

/* To FLOW_FORGOTTEN: matches no flow any more, but is not as if it had never been. */
static __always_inline void forget_flow(struct found_flow found)
{
	volatile struct flow *shared = found.place;

	shared->check = ~shared->check;
	shared->data = found.data & ~((1ULL << FLOW_STATE_BITS) - 1);
}

static __always_inline void renew_flow(struct found_flow found, __u64 data)
{
	((volatile struct flow *)found.place)->data = data;
}

#endif
