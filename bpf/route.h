/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where a packet goes. */
#ifndef BALLAST_ROUTE_H
#define BALLAST_ROUTE_H

#include "choose.h"
#include "deliver.h"

/* Without a member, choice.reason is why the packet goes nowhere, and nothing else is set. */
struct route {
	struct ring *ring;
	struct choice choice;
	__u64 hash; /* of the flow */
};

/* ring: NULL if there is none. bytes: of the frame. */
static __always_inline struct route route_packet(struct xdp_md *ctx, struct ring *ring,
						 const struct service_key *key,
						 const struct packet *packet, __u32 bytes)
{
	struct route route = { .ring = ring };

	if (!route.ring)
		return (struct route){ .choice.reason = REASON_DROP_NO_BACKEND };
	route.hash = flow_hash(config.fleet_key, key, packet);
	route.choice = choose_member(ctx, route.ring, key, packet, route.hash, bytes);
	if (route.choice.member && route.choice.member->flags & MEMBER_ACCESS &&
	    !may_enter(ctx, route.ring))
		return (struct route){ .choice.reason = REASON_DROP_ACCESS };
	return route;
}

#endif
