/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The backend of a packet: that of its flow entry while it is a member of the
 * service, else that of its slot in the ring. A SYN opens a connection and is
 * always sent by the ring; what comes after it goes by the SYN's entry first.
 */
#ifndef BALLAST_CHOOSE_H
#define BALLAST_CHOOSE_H

#include "access.h"
#include "flow_limit.h"
#include "flow_table.h"
#include "half_open.h"
#include "hash.h"
#include "maps.h"
#include "next_hop.h"
#include "parse.h"
#include "quic.h"

/* reason: REASON_FORWARDED_*; without a member REASON_DROP_*, or REASON_PASS_HANDOVER. */
struct choice {
	struct member *member;
	enum reason reason;
};

/* A packet, as far as its flow entry goes. No gaps: global functions are given it. */
struct attempt {
	__u64 hash;
	__u64 buckets; /* bucket_hash of it */
	__u64 data;    /* of the entry to be made */
	__u32 now;
	enum flow_state state;
	__u32 bytes;  /* of the frame, for the counters */
	__u32 is_new; /* it was looked for in the flow table, and has no entry */
};

/* buckets: of bucket_hash. */
static __always_inline struct flow_bucket *near_bucket(__u64 buckets)
{
	__u32 index = buckets >> 32 & (config.near_buckets - 1);

	return bpf_map_lookup_elem(&flows, &index);
}

/* neighbour: 1 for that of the flow's far bucket, 0 for its own. */
static __always_inline struct flow_bucket *far_bucket(__u64 buckets, __u32 neighbour)
{
	__u32 index = config.near_buckets +
		      ((buckets & (config.near_buckets * FAR_PER_NEAR - 1)) ^ neighbour);

	return bpf_map_lookup_elem(&flows, &index);
}

/* The flow's entry in the flow table. */
static __always_inline struct found_flow find_flow(__u64 hash, __u64 buckets)
{
	struct flow_bucket *bucket = near_bucket(buckets);
	struct found_flow found;

	if (!bucket)
		return (struct found_flow){};
	found = find_in_bucket(bucket, hash);
	if (found.place || !was_full(bucket))
		return found;
	bucket = far_bucket(buckets, 0);
	if (!bucket)
		return found;
	found = find_in_bucket(bucket, hash);
	if (found.place || !was_full(bucket))
		return found;
	bucket = far_bucket(buckets, 1);
	return bucket ? find_in_bucket(bucket, hash) : found;
}

/* The entry that the connection's SYN left. */
static __always_inline struct found_flow find_opened(__u64 hash, __u64 buckets)
{
	struct flow_bucket *bucket = half_open_bucket(buckets);

	return bucket ? find_in_bucket(bucket, hash) : (struct found_flow){};
}

static __always_inline enum flow_state state_of(__u8 protocol, __u8 tcp_flags)
{
	if (protocol == IPPROTO_UDP)
		return FLOW_UDP;
	if (tcp_flags & (TCP_FIN | TCP_RST))
		return FLOW_FIN;
	return (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? FLOW_SYN : FLOW_CONFIRMED;
}

/* NULL: no such member any more, or its index has been given to another. */
static __always_inline struct member *flow_member(struct ring *ring, __u64 data)
{
	__u32 index = flow_bits(data, FLOW_INDEX_SHIFT, FLOW_INDEX_BITS);

	if (index >= RING_MEMBERS || ring->members[index].generation != flow_generation(data))
		return NULL;
	return &ring->members[index];
}

/* RFC 2663, 2.6: who keeps UDP sessions has nothing but idle time to end them by. */
static __always_inline bool flow_forgotten(struct ring *ring, __u64 data, __u32 now)
{
	__u64 idle = flow_idle(data, now);

	return flow_state(data) == FLOW_UDP &&
	       idle << FLOW_TICK_SHIFT > ring->idle_timeout * 1000000000ULL;
}

/*
 * A FIN stays: after it come the last acknowledgements, in any number. Answers do not come by here: that
 * a client goes on after its SYN is all that is to be seen of them.
 */
static __always_inline void keep_flow(struct found_flow found, __u32 now, enum flow_state state,
				      __u32 bytes)
{
	__u64 data;

	if (flow_state(found.data) == FLOW_FIN)
		state = FLOW_FIN;
	data = flow_data(found.data & FLOW_IDENTITY_MASK, now, state);
	if (data == found.data)
		return;
	if (flow_state(found.data) == FLOW_SYN && state == FLOW_CONFIRMED)
		count_reason(REASON_FLOW_CONFIRMED, bytes);
	renew_flow(found, data);
}

/*
 * Whether a SYN is one more of a flow that goes on: of one that has ended, or is long idle, the client uses the port
 * again, and something new begins.
 */
static __always_inline bool goes_on(struct ring *ring, const struct found_flow *found,
				    const struct attempt *attempt)
{
	__u64 data = found->data;

	return attempt->state == FLOW_SYN && found->place &&
	       flow_worth(data, flow_idle(data, attempt->now)) > WORTH_FIN &&
	       flow_member(ring, data);
}

/* Where a flow without an entry may make one; NULL: all others are worth more. */
static __always_inline struct flow *find_place(const struct attempt *attempt)
{
	struct flow_bucket *bucket = near_bucket(attempt->buckets);
	__u64 victim = find_victim(bucket, attempt->now);

	for (__u32 neighbour = 0; neighbour < 2 && victim_worth(victim) > WORTH_EXPIRED;
	     neighbour++) {
		struct flow_bucket *other = far_bucket(attempt->buckets, neighbour);
		__u64 candidate = find_victim(other, attempt->now);

		if (is_better_victim(candidate, victim)) {
			bucket = other;
			victim = candidate;
		}
	}
	if (victim_worth(victim) > state_worth(attempt->state))
		return NULL;
	if (victim_worth(victim) >= WORTH_SYN)
		count_reason(REASON_FLOW_EVICTED, attempt->bytes);
	return bucket ? victim_place(bucket, victim) : NULL;
}

/* Whether a SYN's entry is a half-open one. Not where what has no entry is the kernel's. */
static __always_inline bool is_half_open(const struct ring *ring, enum flow_state state)
{
	return state == FLOW_SYN && !(ring->features & RING_HANDOVER);
}

/*
 * Puts an entry in the place of the flow's own, or of one worth less; false: there is none. Global for the same reason
 * as find_victim.
 */
__noinline int begin_flow(const struct attempt *attempt)
{
	struct flow *place = NULL;

	if (!attempt)
		return false;
	if (!attempt->is_new)
		place = find_flow(attempt->hash, attempt->buckets).place;
	if (!place)
		place = find_place(attempt);
	if (!place)
		return false;
	write_flow(place, attempt->hash, attempt->data);
	return true;
}

/* The same of one that is_half_open, for which there always is a place. */
__noinline int open_flow(const struct attempt *attempt)
{
	struct flow *place;

	if (!attempt)
		return false;
	place = half_open_place(attempt->buckets, attempt->hash, attempt->now, attempt->bytes);
	if (!place)
		return false;
	write_flow(place, attempt->hash, attempt->data);
	return true;
}

/* Of the slot, where the service has its own idea of what chooses it. */
static __always_inline __u64 hash_for_slot(const struct ring *ring, const struct service_key *key,
					   const struct packet *packet, __u64 hash)
{
	if (ring->hash_by == HASH_BY_FLOW)
		return hash;
	return slot_hash(config.fleet_key, key, packet, ring->hash_by);
}

/* The member that a packet of the flow would go to now; no entry is touched. */
static __always_inline struct choice peek_member(struct ring *ring, const struct service_key *key,
						 const struct packet *packet, __u64 hash)
{
	__u64 buckets = bucket_hash(hash, config.bucket_key);
	struct found_flow found = {};
	struct member *member;
	__u32 index;

	if (key->protocol == IPPROTO_TCP)
		found = find_opened(hash, buckets);
	if (!found.place)
		found = find_flow(hash, buckets);
	if (found.place && !flow_forgotten(ring, found.data, flow_now())) {
		member = flow_member(ring, found.data);
		if (member)
			return (struct choice){ member, REASON_FORWARDED_FLOW };
	}
	if (ring->features & RING_HANDOVER)
		return (struct choice){ .reason = REASON_PASS_HANDOVER };
	index = slot_member(ring, hash_for_slot(ring, key, packet, hash));
	if (index >= RING_MEMBERS || !ring->members[index].generation)
		return (struct choice){ .reason = REASON_DROP_NO_BACKEND };
	return (struct choice){ &ring->members[index], REASON_FORWARDED_RING };
}

/*
 * For the first packet after a SYN: the member that the SYN went to, whose entry moves to the flow table. NULL: it has
 * left the service. One that ends before it goes on is nothing to remember.
 */
static __always_inline struct member *confirm_flow(struct ring *ring, struct attempt *attempt,
						   struct found_flow opened)
{
	struct member *member = flow_member(ring, opened.data);

	if (member && attempt->state == FLOW_FIN)
		return member;
	if (!member) {
		count_reason(REASON_FLOW_REHASHED, attempt->bytes);
		renew_flow(opened, 0);
		return NULL;
	}
	attempt->data = flow_data(opened.data & FLOW_IDENTITY_MASK, attempt->now, FLOW_CONFIRMED);
	if (begin_flow(attempt)) {
		count_reason(REASON_FLOW_CONFIRMED, attempt->bytes);
		renew_flow(opened, 0);
	}
	return member;
}

/* bytes: of the frame, for the counters. */
static __always_inline struct choice choose_member(struct xdp_md *ctx, struct ring *ring,
						   const struct service_key *key,
						   const struct packet *packet, __u64 hash,
						   __u32 bytes)
{
	struct attempt attempt = {
		.hash = hash,
		.buckets = bucket_hash(hash, config.bucket_key),
		.now = flow_now(),
		.state = state_of(key->protocol, packet->tcp_flags),
		.bytes = bytes,
	};
	bool opens = is_half_open(ring, attempt.state);
	struct found_flow found = {};
	struct member *member;
	enum reason reason;
	__u32 index;

	if (attempt.state == FLOW_UDP && ring->features & RING_QUIC) {
		index = quic_member(ctx, ring, bytes);
		if (index < RING_MEMBERS)
			return (struct choice){ &ring->members[index], REASON_FORWARDED_QUIC };
	}
	if (attempt.state != FLOW_UDP && !opens)
		found = find_opened(hash, attempt.buckets);
	if (found.place && attempt.state != FLOW_SYN) {
		member = confirm_flow(ring, &attempt, found);
		if (member)
			return (struct choice){ member, REASON_FORWARDED_FLOW };
		/* It is not there any more. */
		found.place = NULL;
	} else if (!opens) {
		if (!found.place)
			found = find_flow(hash, attempt.buckets);
		attempt.is_new = !found.place;
		if (found.place && attempt.state != FLOW_SYN) {
			member = flow_member(ring, found.data);
			if (!member) {
				count_reason(REASON_FLOW_REHASHED, bytes);
			} else if (!flow_forgotten(ring, found.data, attempt.now)) {
				keep_flow(found, attempt.now, attempt.state, bytes);
				return (struct choice){ member, REASON_FORWARDED_FLOW };
			}
		}
	}
	if (ring->features) {
		reason = may_begin(ctx, ring, attempt.state, goes_on(ring, &found, &attempt));
		/* What comes after it finds no entry either. */
		if (reason == REASON_PASS_HANDOVER && found.place)
			forget_flow(found);
		if (reason != REASON_NONE)
			return (struct choice){ .reason = reason };
	}
	index = slot_member(ring, hash_for_slot(ring, key, packet, hash));
	if (index >= RING_MEMBERS || !ring->members[index].generation)
		return (struct choice){ .reason = REASON_DROP_NO_BACKEND };
	member = &ring->members[index];
	attempt.data =
		flow_data(flow_identity(index, member->generation), attempt.now, attempt.state);
	if (!(opens ? open_flow(&attempt) : begin_flow(&attempt)))
		return (struct choice){ member, REASON_FORWARDED_UNTRACKED };
	if (attempt.state != FLOW_SYN)
		count_reason(REASON_FLOW_MIDWAY, bytes);
	return (struct choice){ member, REASON_FORWARDED_RING };
}

#endif
