/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How many new flows a service takes from one source prefix: a token bucket,
 * kept as the one number of the generic cell rate algorithm (ITU-T I.371).
 * Each flow moves paid_until on by 1/rate; a bucket is empty when that is
 * (burst - 1)/rate ahead of the clock, and full when it is behind.
 *
 * Of TCP only a SYN is a new flow here, be it repeated: a connection that a
 * node sees in its midst, because routes changed, is nobody's to break.
 *
 * The table keeps the prefixes that came last. Who comes from more of them than it
 * holds begins with a full bucket each time, as he would with any other prefix.
 */
#ifndef BALLAST_FLOW_LIMIT_H
#define BALLAST_FLOW_LIMIT_H

#include "access.h"
#include "maps.h"
#include "parse.h"

#define NSEC_PER_SEC 1000000000ULL

/* Other CPUs may draw on the same bucket; who loses that often is one of very many. */
#define FLOW_LIMIT_ATTEMPTS 4

/* The highest bits of 8 bytes in network byte order. */
static __always_inline __u64 leading_bits(__u32 bits)
{
	if (bits == 0)
		return 0;
	return bpf_cpu_to_be64(~0ULL << (bits < 64 ? 64 - bits : 0));
}

static __always_inline bool draw(struct flow_limit *limit, __u64 now, __u64 interval, __u64 window)
{
	__u64 seen, paid = *(volatile __u64 *)&limit->paid_until;

	for (int attempt = 0; attempt < FLOW_LIMIT_ATTEMPTS; attempt++) {
		__u64 from = paid > now ? paid : now;

		if (from - now > window)
			return false;
		seen = __sync_val_compare_and_swap(&limit->paid_until, paid, from + interval);
		if (seen == paid)
			return true;
		paid = seen;
	}
	return false;
}

/* Of a ring with RING_FLOW_LIMIT. */
static __always_inline bool take_flow(const struct ring *ring, const struct packet *packet)
{
	struct flow_limit_key key __attribute__((aligned(8))) = { .service = ring->key };
	word64 *prefix = (word64 *)key.prefix.bytes;
	struct flow_limit fresh, *limit;
	__u64 now = bpf_ktime_get_ns();
	__u64 interval = NSEC_PER_SEC / (ring->limit_rate ?: 1);

	if (packet->family == 4) {
		prefix[1] = (packet->source[0] & leading_bits(ring->limit_bits4) & 0xffffffff)
				    << 32 |
			    0xffff0000;
	} else {
		prefix[0] = packet->source[0] & leading_bits(ring->limit_bits6);
		if (ring->limit_bits6 > 64)
			prefix[1] = packet->source[1] & leading_bits(ring->limit_bits6 - 64);
	}
	limit = bpf_map_lookup_elem(&flow_limits, &key);
	if (limit)
		return draw(limit, now, interval, interval * (ring->limit_burst - 1ULL));
	fresh.paid_until = now + interval;
	bpf_map_update_elem(&flow_limits, &key, &fresh, BPF_ANY);
	return true;
}

/*
 * While a service moves between the kernel's load balancer and this one, no connection is to change its
 * backend: the old one keeps what it knows, the new one gets the SYNs. UDP has none; its flows move at once.
 */
static __always_inline bool is_handed_over(const struct ring *ring, __u32 state)
{
	if (ring->features & RING_TO_IPVS)
		return true;
	return ring->features & RING_FROM_IPVS && state != FLOW_SYN && state != FLOW_UDP;
}

/*
 * Why no flow begins with a packet in this state, or REASON_NONE; of a ring with features. going: the packet
 * is a SYN of a flow that has an entry and goes on. See may_enter for why it is global.
 */
__noinline int may_begin(struct xdp_md *ctx, const struct ring *ring, __u32 state, __u32 going)
{
	struct service_key flow __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor;

	if (!ring)
		return REASON_DROP_NO_BACKEND;
	if (!going && is_handed_over(ring, state))
		return REASON_PASS_HANDOVER;
	cursor = frame_cursor(ctx);
	parse_packet(&cursor, &flow, &packet);
	if (ring->features & RING_ACCESS && !is_allowed(ring, &packet))
		return REASON_DROP_ACCESS;
	if (ring->features & RING_FLOW_LIMIT && (state == FLOW_SYN || state == FLOW_UDP) &&
	    !take_flow(ring, &packet))
		return REASON_DROP_FLOW_LIMIT;
	return REASON_NONE;
}

#endif
