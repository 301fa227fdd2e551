/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * IP in IP: RFC 2003 (4in4), RFC 2473 (4in6, 6in6), RFC 4213 (6in4).
 * GUE (draft-ietf-intarea-gue): the same with UDP in between, whose source
 * port varies with the flow; its checksum is 0, over IPv6 too (RFC 6935)
 * unless the service asks for one (gue_sum.h).
 *
 * The inner packet is not touched, its TTL neither: the balancer is a point
 * of its path that clients do not see. Type of service or traffic class are
 * copied, so a router that marks congestion marks what the backend reads
 * (RFC 6040). The outer TTL is 64; outer IPv4 says "don't fragment" with
 * identification 0 (RFC 6864); outer IPv6 has the flow hash as its flow label,
 * and the outer source varies with it, so that routers and the backend's
 * receive queues spread flows (RFC 6438).
 *
 * What follows the inner packet in the frame, as the padding of a short one,
 * is left there: cutting costs a call for every acknowledgement, and the
 * backend goes by the header. It counts for the MTU, since it is on the wire.
 */
#ifndef BALLAST_ENCAP_H
#define BALLAST_ENCAP_H

#include "maps.h"
#include "parse.h"

#define OUTER_TTL 64
#define IPV4_DF 0x4000
#define FLOW_LABEL_MASK 0xfffff

/* From here on source ports are for whoever needs one (RFC 6335). */
#define GUE_FIRST_PORT 0xc000
#define GUE_PORT_SHIFT 16 /* other bits of the hash than the source address takes */
#define GUE_PORT_MASK 0x3fff

/* The frame with its outer header; eth is NULL when there was no room for it. */
struct outer {
	struct ethhdr *eth;
	word32 *ip;
	__u32 shim; /* bytes between the outer and the inner IP header */
};

/* What is inside of the outer header, as its protocol or next header field says. */
static __always_inline __u32 inner_protocol(const struct packet *packet)
{
	return packet->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* Bytes between the IP headers. */
static __always_inline __u32 shim_bytes(__u32 member_flags)
{
	if (!(member_flags & MEMBER_GUE))
		return 0;
	return sizeof(struct udphdr) + (member_flags & MEMBER_GUE_HEADER ? sizeof(__u32) : 0);
}

static __always_inline __u32 outer_protocol(const struct packet *packet, __u32 shim)
{
	return shim ? IPPROTO_UDP : inner_protocol(packet);
}

static __always_inline void write_gue(word32 *udp, const struct packet *packet, __u32 shim,
				      __be16 port, __u64 hash)
{
	__u32 source = GUE_FIRST_PORT | (hash >> GUE_PORT_SHIFT & GUE_PORT_MASK);

	udp[0] = bpf_htons(source) | (__u32)port << 16;
	udp[1] = bpf_htons(packet->length + shim);
	if (shim > sizeof(struct udphdr))
		udp[2] = bpf_htonl(inner_protocol(packet) << 16);
}

static __always_inline struct outer push_header(struct xdp_md *ctx, int bytes)
{
	struct ethhdr *eth;

	if (bpf_xdp_adjust_head(ctx, -bytes))
		return (struct outer){};
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) + bytes > (void *)(long)ctx->data_end)
		return (struct outer){};
	return (struct outer){ .eth = eth, .ip = (word32 *)(eth + 1) };
}

/* RFC 1071: the complement of a sum of 32-bit words in their order of the network. */
static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~sum & 0xffff;
}

/* Over a header whose checksum field is 0. */
static __always_inline __u32 ipv4_checksum(const __u32 words[5])
{
	return fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);
}

static __always_inline struct outer encapsulate_ipv4(struct xdp_md *ctx,
						     const struct packet *packet,
						     const struct member *member, __u64 hash,
						     const __u32 shim)
{
	__u32 length = sizeof(struct iphdr) + shim + packet->length;
	struct outer outer = push_header(ctx, sizeof(struct iphdr) + shim);
	__u32 words[5] = {
		bpf_htonl(0x45000000 | packet->traffic << 16 | length),
		bpf_htonl(IPV4_DF),
		bpf_htonl(OUTER_TTL << 24 | outer_protocol(packet, shim) << 16),
		config.source4 | ((__u32)hash & config.source4_host_mask),
		load32(&member->address.bytes[12]),
	};

	if (!outer.eth)
		return outer;
	words[2] |= ipv4_checksum(words) << 16;
	outer.shim = shim;
	outer.eth->h_proto = bpf_htons(ETH_P_IP);
#pragma unroll
	for (int word = 0; word < 5; word++)
		outer.ip[word] = words[word];
	return outer;
}

static __always_inline struct outer encapsulate_ipv6(struct xdp_md *ctx,
						     const struct packet *packet,
						     const struct member *member, __u64 hash,
						     const __u32 shim)
{
	struct outer outer = push_header(ctx, sizeof(struct ipv6hdr) + shim);
	const volatile word64 *source = (const volatile word64 *)config.source6.bytes;
	const volatile word64 *mask = (const volatile word64 *)config.source6_host_mask.bytes;
	const word64 *backend = (const word64 *)member->address.bytes;
	word64 *addresses = (word64 *)(outer.ip + 2);

	if (!outer.eth)
		return outer;
	outer.shim = shim;
	outer.eth->h_proto = bpf_htons(ETH_P_IPV6);
	outer.ip[0] = bpf_htonl(6U << 28 | packet->traffic << 20 | (hash & FLOW_LABEL_MASK));
	outer.ip[1] = bpf_htonl((packet->length + shim) << 16 | outer_protocol(packet, shim) << 8 |
				OUTER_TTL);
	addresses[0] = source[0] | (hash & mask[0]);
	addresses[1] = source[1] | (hash & mask[1]);
	addresses[2] = backend[0];
	addresses[3] = backend[1];
	return outer;
}

#endif
