// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * For a backend without an IPIP or FOU device: takes the outer headers off what the
 * balancer sends (see encap.h) and gives the inner packet to the kernel, which
 * must have the VIP on an interface. Everything else passes as it is.
 *
 *   ip link set dev eth0 xdpdrv obj decap.bpf.o sec xdp
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

char LICENSE[] SEC("license") = "GPL";

#define ECN_MASK 3
#define ECN_CE 3

/* draft-ietf-intarea-gue; a port of this machine that nothing else may listen on. */
#define GUE_PORT 6080

/* Variant 0: version 0, no control message, no extensions: the first byte and the flags are 0. */
struct gue_header {
	__u8 version_and_length;
	__u8 protocol;
	__be16 flags;
};

const volatile __u16 gue_port = GUE_PORT;

struct outer {
	__u32 bytes; /* of its headers; 0: not what the balancer sends */
	__u8 protocol;
	__u8 traffic;
};

/* The balancer sends no options and no fragments. */
static __always_inline struct outer outer_ipv4(const struct cursor *cursor)
{
	struct iphdr *ip = cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 4 || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
		return (struct outer){};
	return (struct outer){ sizeof(*ip), ip->protocol, ip->tos };
}

static __always_inline struct outer outer_ipv6(const struct cursor *cursor)
{
	struct ipv6hdr *ip = cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 6)
		return (struct outer){};
	return (struct outer){ sizeof(*ip), ip->nexthdr, bpf_ntohl(load32(ip)) >> 20 };
}

static __always_inline struct outer parse_outer(const struct cursor *cursor, __be16 ethertype)
{
	switch (ethertype) {
	case bpf_htons(ETH_P_IP):
		return outer_ipv4(cursor);
	case bpf_htons(ETH_P_IPV6):
		return outer_ipv6(cursor);
	default:
		return (struct outer){};
	}
}

/* What UDP holds; the cursor is at the IP header. Left alone, when it is not GUE as the balancer sends it. */
static __always_inline struct outer parse_gue(const struct cursor *cursor, struct outer outer)
{
	struct udphdr *udp = cursor->at + outer.bytes;
	struct gue_header *gue = (void *)(udp + 1);

	if ((void *)(gue + 1) > cursor->end || udp->dest != bpf_htons(gue_port))
		return (struct outer){};
	outer.bytes += sizeof(*udp);
	switch (gue->version_and_length >> 4) {
	case 4:
		outer.protocol = IPPROTO_IPIP;
		return outer;
	case 6:
		outer.protocol = IPPROTO_IPV6;
		return outer;
	}
	if (gue->version_and_length || gue->flags)
		return (struct outer){};
	outer.bytes += sizeof(*gue);
	outer.protocol = gue->protocol;
	return outer;
}

/*
 * RFC 6040, 4.2: congestion met on the way to the backend is the inner
 * packet's too; a packet whose ends do not speak ECN is lost to it. RFC 1624
 * for the checksum: the byte grows by 1 or 2, so the sum's complement shrinks.
 */
static __always_inline bool mark_ipv4(struct iphdr *ip)
{
	__u32 ecn = ip->tos & ECN_MASK;
	__u32 check = bpf_ntohs(ip->check) + 0xffff - (ECN_CE - ecn);

	if (!ecn)
		return false;
	ip->tos |= ECN_CE;
	ip->check = bpf_htons((check & 0xffff) + (check >> 16));
	return true;
}

static __always_inline bool mark_ipv6(struct ipv6hdr *ip)
{
	if (!(ip->flow_lbl[0] >> 4 & ECN_MASK))
		return false;
	ip->flow_lbl[0] |= ECN_CE << 4;
	return true;
}

/* False: the inner packet is not whole, or must be dropped. */
static __always_inline bool check_inner(struct cursor *cursor, __be16 ethertype, bool congested)
{
	struct iphdr *ipv4 = cursor->at;
	struct ipv6hdr *ipv6 = cursor->at;

	if (ethertype == bpf_htons(ETH_P_IP)) {
		if ((void *)(ipv4 + 1) > cursor->end || ipv4->version != 4)
			return false;
		return !congested || mark_ipv4(ipv4);
	}
	if ((void *)(ipv6 + 1) > cursor->end || ipv6->version != 6)
		return false;
	return !congested || mark_ipv6(ipv6);
}

SEC("xdp")
int decap(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct ethhdr *eth = cursor.at;
	struct link_address to, from;
	struct outer outer;
	__be16 inner;

	if ((void *)(eth + 1) > cursor.end)
		return XDP_PASS;
	cursor.at = eth + 1;
	outer = parse_outer(&cursor, load16(&eth->h_proto));
	if (outer.bytes && outer.protocol == IPPROTO_UDP)
		outer = parse_gue(&cursor, outer);
	if (!outer.bytes || (outer.protocol != IPPROTO_IPIP && outer.protocol != IPPROTO_IPV6))
		return XDP_PASS;
	inner = outer.protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	to = load_link_address(eth->h_dest);
	from = load_link_address(eth->h_source);
	cursor.at += outer.bytes;
	if (!check_inner(&cursor, inner, (outer.traffic & ECN_MASK) == ECN_CE))
		return XDP_DROP;

	if (bpf_xdp_adjust_head(ctx, outer.bytes))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	store_link_address(eth->h_dest, to);
	store_link_address(eth->h_source, from);
	eth->h_proto = inner;
	return XDP_PASS;
}
