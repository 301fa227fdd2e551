/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The way of a packet to a member that was chosen for it. */
#ifndef BALLAST_DELIVER_H
#define BALLAST_DELIVER_H

#include "choose.h"
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
	__u32 header = member->flags & MEMBER_IPV6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

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

/* Encapsulates and sends. bytes: of the frame. REASON_TOO_BIG: the frame is as it was, and not counted yet. */
static __always_inline struct verdict deliver(struct xdp_md *ctx, const struct packet *packet,
					      const struct ring *ring, struct choice choice,
					      __u64 hash, __u32 bytes)
{
	const struct member *member = choice.member;
	enum reason obstacle = check_encapsulation(member, bytes - ETH_HLEN);
	struct verdict verdict;
	struct outer outer;

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
