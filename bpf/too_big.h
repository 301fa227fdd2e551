/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * For a packet that would exceed the MTU once it is encapsulated: tells its
 * sender how large packets may be, as a router there would (RFC 1191, RFC
 * 8201), in the VIP's name.
 *
 * An IPv4 packet without "don't fragment" asks for fragments, and gets
 * dropped and counted: the balancer makes none, and no sender of TCP leaves
 * that bit out today. Where encapsulation leaves less than IPv6's least MTU,
 * senders would not listen, so they are not told.
 */
#ifndef BALLAST_TOO_BIG_H
#define BALLAST_TOO_BIG_H

#include "icmp.h"

/* What an error quotes of the packet: RFC 1812 4.3.2.3 and RFC 4443 2.4 (c), rounded down to what is summed at once. */
#define QUOTED_IPV4 512
#define QUOTED_IPV6 (2 * 512 + 192)
#define IPV6_LEAST_MTU 1280

/* The headers in front of what is quoted. */
struct error4 {
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_header icmp;
} __attribute__((packed));

struct error6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp_header icmp;
} __attribute__((packed));

/* Makes room for the headers, of which the Ethernet header is there already, and cuts what is not quoted. */
static __always_inline int resize(struct xdp_md *ctx, __u32 headers, __u32 quoted)
{
	long bytes = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	asm volatile("" : "+r"(bytes));
	return bpf_xdp_adjust_tail(ctx, (__s32)(ETH_HLEN + quoted) - (__s32)bytes) ||
	       bpf_xdp_adjust_head(ctx, ETH_HLEN - (__s32)headers);
}

static __always_inline bool say_too_big4(struct xdp_md *ctx, const struct packet *packet, __u32 mtu)
{
	struct error4 *error;
	__be32 vip = packet->source[0] >> 32, client = packet->source[0];
	__u32 words[5] = {
		bpf_htonl(0x45000000 |
			  (sizeof(struct iphdr) + sizeof(struct icmp_header) + QUOTED_IPV4)),
		0,
		bpf_htonl(OUTER_TTL << 24 | IPPROTO_ICMP << 16),
		vip,
		client,
	};
	__u32 icmp[2] = { bpf_htonl(ICMP_DEST_UNREACH << 24 | ICMP_FRAG_NEEDED << 16),
			  bpf_htonl(mtu) };

	if (resize(ctx, sizeof(*error), QUOTED_IPV4))
		return false;
	error = (void *)(long)ctx->data;
	if ((void *)(error + 1) + QUOTED_IPV4 > (void *)(long)ctx->data_end)
		return false;
	store_link_address(error->eth.h_dest, packet->from);
	store_link_address(error->eth.h_source, packet->to);
	error->eth.h_proto = bpf_htons(ETH_P_IP);
	words[2] |= ipv4_checksum(words) << 16;
	__builtin_memcpy(&error->ip, words, sizeof(words));
	icmp[0] |= fold((__u64)icmp[0] + icmp[1] +
			(__u32)bpf_csum_diff(NULL, 0, (void *)(error + 1), QUOTED_IPV4, 0))
		   << 16;
	__builtin_memcpy(&error->icmp, icmp, sizeof(icmp));
	return true;
}

/* RFC 4443, 2.3: the checksum covers the addresses, the length and the next header too. */
static __always_inline __u64 sum_error6(const struct error6 *error)
{
	void *addresses = (void *)error + ETH_HLEN + offsetof(struct ipv6hdr, saddr);
	void *quoted = (void *)(error + 1);
	__u64 sum = bpf_htonl(sizeof(struct icmp_header) + QUOTED_IPV6);

	sum += bpf_htonl(IPPROTO_ICMPV6);
	sum += (__u32)bpf_csum_diff(NULL, 0, addresses, 32, 0);
	sum += (__u32)bpf_csum_diff(NULL, 0, quoted, 512, 0);
	sum += (__u32)bpf_csum_diff(NULL, 0, quoted + 512, 512, 0);
	sum += (__u32)bpf_csum_diff(NULL, 0, quoted + 1024, QUOTED_IPV6 - 1024, 0);
	return sum;
}

static __always_inline bool say_too_big6(struct xdp_md *ctx, const struct service_key *key,
					 const struct packet *packet, __u32 mtu)
{
	__u32 icmp[2] = { bpf_htonl(ICMPV6_PKT_TOOBIG << 24), bpf_htonl(mtu) };
	const word64 *vip = (const word64 *)key->vip.bytes;
	struct error6 *error;
	word64 *addresses;
	word32 *first;

	if (resize(ctx, sizeof(*error), QUOTED_IPV6))
		return false;
	error = (void *)(long)ctx->data;
	if ((void *)(error + 1) + QUOTED_IPV6 > (void *)(long)ctx->data_end)
		return false;
	store_link_address(error->eth.h_dest, packet->from);
	store_link_address(error->eth.h_source, packet->to);
	error->eth.h_proto = bpf_htons(ETH_P_IPV6);
	first = (void *)error + ETH_HLEN;
	first[0] = bpf_htonl(6U << 28);
	first[1] = bpf_htonl((sizeof(struct icmp_header) + QUOTED_IPV6) << 16 |
			     IPPROTO_ICMPV6 << 8 | OUTER_TTL);
	addresses = (word64 *)(first + 2);
	addresses[0] = vip[0];
	addresses[1] = vip[1];
	addresses[2] = packet->source[0];
	addresses[3] = packet->source[1];
	icmp[0] |= fold((__u64)icmp[0] + icmp[1] + sum_error6(error)) << 16;
	__builtin_memcpy(&error->icmp, icmp, sizeof(icmp));
	return true;
}

/* What becomes of a packet to a VIP with which `room` bytes of outer header exceed the MTU; how it is counted. */
static __noinline int answer_too_big(struct xdp_md *ctx, __u32 room)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor = frame_cursor(ctx);
	struct iphdr *ip = cursor.at + ETH_HLEN;
	__u32 mtu = config.mtu - room;
	enum reason reason = parse_packet(&cursor, &key, &packet);

	/* Of a fragment too its sender can make smaller ones. */
	if ((reason != REASON_NONE && reason != REASON_DROP_FRAGMENT) || packet.length <= mtu)
		return REASON_DROP_TOO_BIG;
	if (packet.family == 4) {
		if ((void *)(ip + 1) > cursor.end || !(ip->frag_off & bpf_htons(IPV4_DF)))
			return REASON_DROP_TOO_BIG_NO_DF;
		if (!may_answer(LIMITED_TOO_BIG) || !say_too_big4(ctx, &packet, mtu))
			return REASON_DROP_TOO_BIG;
		return REASON_ANSWERED_TOO_BIG;
	}
	if (mtu < IPV6_LEAST_MTU || !may_answer(LIMITED_TOO_BIG) ||
	    !say_too_big6(ctx, &key, &packet, mtu))
		return REASON_DROP_TOO_BIG;
	return REASON_ANSWERED_TOO_BIG;
}

/* Delivers, or tells the sender why not. bytes: of the frame. */
static __always_inline struct verdict
deliver_or_answer(struct xdp_md *ctx, const struct packet *packet, const struct ring *ring,
		  struct choice choice, __u64 hash, __u32 bytes)
{
	struct verdict verdict = deliver(ctx, packet, ring, choice, hash, bytes);

	if (verdict.reason == REASON_TOO_BIG) {
		verdict.reason = answer_too_big(ctx, outer_bytes(choice.member));
		if (verdict.reason == REASON_ANSWERED_TOO_BIG)
			verdict.action = XDP_TX;
	}
	return verdict;
}

#endif
