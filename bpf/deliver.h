/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The way of a packet to a member that was chosen for it. */
#ifndef BALLAST_DELIVER_H
#define BALLAST_DELIVER_H

#include "egress.h"
#include "encap.h"
#include "maps.h"

static __always_inline struct ring *find_ring(__u32 service)
{
	__u32 first = 0;
	void *map = bpf_map_lookup_elem(&rings, &service);

	return map ? bpf_map_lookup_elem(map, &first) : NULL;
}

/* Of the header that is put in front. */
static __always_inline __u32 outer_bytes(const struct member *member)
{
	return member->flags & MEMBER_IPV6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* Why the packet cannot be encapsulated for this member, or REASON_NONE. frame: bytes after the Ethernet header. */
static __always_inline enum reason check_encapsulation(const struct member *member, __u32 frame)
{
	if (member->flags & MEMBER_IPV6 ? !config.has_source6 : !config.source4)
		return REASON_DROP_NO_SOURCE;
	return frame + outer_bytes(member) > config.mtu ? REASON_DROP_TOO_BIG : REASON_NONE;
}

/* Encapsulates and sends. reason: why it goes to this member; bytes: of the frame. */
static __always_inline struct verdict deliver(struct xdp_md *ctx, const struct packet *packet,
					      const struct member *member, __u64 hash,
					      enum reason reason, __u32 bytes)
{
	bool ipv6 = member->flags & MEMBER_IPV6;
	enum reason obstacle = check_encapsulation(member, bytes - ETH_HLEN);
	struct verdict verdict;
	struct outer outer;

	if (obstacle != REASON_NONE)
		return (struct verdict){ XDP_DROP, obstacle };
	if (ipv6)
		outer = encapsulate_ipv6(ctx, packet, member, hash);
	else
		outer = encapsulate_ipv4(ctx, packet, member, hash);
	verdict = send_outer(ctx, packet, outer, ipv6, reason, bytes);
	if (verdict.action != XDP_DROP)
		count_member(member->counter, packet->length, reason == REASON_FORWARDED_RING);
	return verdict;
}

#endif
