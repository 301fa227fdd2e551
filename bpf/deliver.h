/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The way of a packet to a member that was chosen for it. */
#ifndef BALLAST_DELIVER_H
#define BALLAST_DELIVER_H

#include "choose.h"
#include "egress.h"
#include "encap.h"
#include "gue_sum.h"
#include "maps.h"

/* Of the header that is put in front. */
static __always_inline __u32 outer_bytes(const struct member *member)
{
	__u32 header = member->flags & MEMBER_IPV6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (member->flags & MEMBER_L2)
		return 0;
	return header + shim_bytes(member->flags);
}

/* Why the packet cannot be encapsulated for this member, or REASON_NONE. frame: bytes after the Ethernet header. */
static __always_inline enum reason check_encapsulation(const struct member *member, __u32 frame)
{
	if (member->flags & MEMBER_IPV6 ? !config.has_source6 : !config.source4)
		return REASON_DROP_NO_SOURCE;
	return frame + outer_bytes(member) > config.mtu ? REASON_TOO_BIG : REASON_NONE;
}

static __always_inline struct outer wrap(struct xdp_md *ctx, const struct packet *packet,
					 const struct member *member, __u64 hash, const __u32 shim)
{
	if (member->flags & MEMBER_IPV6)
		return encapsulate_ipv6(ctx, packet, member, hash, shim);
	return encapsulate_ipv4(ctx, packet, member, hash, shim);
}

static __always_inline struct outer wrap_in_gue(struct xdp_md *ctx, const struct packet *packet,
						const struct member *member, __u64 hash,
						__be16 port, const __u32 shim)
{
	struct outer outer = wrap(ctx, packet, member, hash, shim);
	void *end = (void *)(long)ctx->data_end;
	__u32 header = member->flags & MEMBER_IPV6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	word32 *udp = (void *)outer.ip + header;

	if (!outer.eth || (void *)udp + shim > end)
		return (struct outer){};
	write_gue(udp, packet, shim, port, hash);
	if (member->flags & MEMBER_CHECKSUM)
		write_gue_sum(ctx, packet->family, shim);
	return outer;
}

static __always_inline struct outer encapsulate(struct xdp_md *ctx, const struct packet *packet,
						const struct ring *ring,
						const struct member *member, __u64 hash)
{
	if (!(member->flags & MEMBER_GUE))
		return wrap(ctx, packet, member, hash, 0);
	if (!(member->flags & MEMBER_GUE_HEADER))
		return wrap_in_gue(ctx, packet, member, hash, ring->gue_port,
				   sizeof(struct udphdr));
	return wrap_in_gue(ctx, packet, member, hash, ring->gue_port,
			   sizeof(struct udphdr) + sizeof(__u32));
}

/*
 * An action; XDP_DROP: the link address is not known. length: of the IP packet.
 * A function of its own, out of the way of what is encapsulated.
 */
static __noinline int send_to_next_hop(struct xdp_md *ctx, const struct member *member,
				       __u32 length, __u32 new_flows)
{
	struct next_hop *hop = bpf_map_lookup_elem(&next_hops, &member->address);
	struct ethhdr *eth = (void *)(long)ctx->data;

	if (!hop || (void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	store_link_address(eth->h_dest, load_link_address(hop->to));
	store_link_address(eth->h_source, load_link_address(hop->from));
	count_member(member->counter, length, new_flows);
	return hop->ifindex == ctx->ingress_ifindex ? XDP_TX : (int)bpf_redirect(hop->ifindex, 0);
}

static __always_inline struct verdict forward_l2(struct xdp_md *ctx, const struct packet *packet,
						 struct choice choice, __u32 bytes)
{
	enum xdp_action action;

	if (bytes - ETH_HLEN > config.mtu)
		return (struct verdict){ XDP_DROP, REASON_TOO_BIG };
	action = send_to_next_hop(ctx, choice.member, packet->length,
				  choice.reason == REASON_FORWARDED_RING);
	return (struct verdict){ action,
				 action == XDP_DROP ? REASON_DROP_NO_NEXT_HOP : choice.reason };
}

/* Encapsulates and sends. bytes: of the frame. REASON_TOO_BIG: the frame is as it was, and not counted yet. */
static __always_inline struct verdict deliver(struct xdp_md *ctx, const struct packet *packet,
					      const struct ring *ring, struct choice choice,
					      __u64 hash, __u32 bytes)
{
	const struct member *member = choice.member;
	enum reason obstacle;
	struct verdict verdict;
	struct outer outer;

	if (member->flags & MEMBER_L2)
		return forward_l2(ctx, packet, choice, bytes);
	obstacle = check_encapsulation(member, bytes - ETH_HLEN);
	if (obstacle != REASON_NONE)
		return (struct verdict){ XDP_DROP, obstacle };
	outer = encapsulate(ctx, packet, ring, member, hash);
	verdict = send_outer(ctx, packet, outer, member->flags & MEMBER_IPV6, choice.reason, bytes);
	if (verdict.action != XDP_DROP)
		count_member(member->counter, packet->length,
			     choice.reason == REASON_FORWARDED_RING);
	return verdict;
}

#endif
