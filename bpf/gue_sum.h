/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The UDP checksum of GUE over IPv6 (RFC 8200, 8.1), without looking at the
 * payload: an IPv4 header sums up to 0, and a TCP, UDP or ICMP message to
 * minus its own pseudo header. What a sender got wrong stays wrong, and its
 * own checksum tells the backend. Not so a fragment, and UDP that came without
 * a checksum: they leave without one.
 */
#ifndef BALLAST_GUE_SUM_H
#define BALLAST_GUE_SUM_H

#include "encap.h"

#define UDP_CHECK_OFFSET 6
#define NO_SUM (~0ULL)

/* UDP without a checksum, or one that is not there. */
static __always_inline bool lacks_checksum(const void *udp, const void *end)
{
	return udp + sizeof(struct udphdr) > end || !load16(udp + UDP_CHECK_OFFSET);
}

/* Of a whole IPv4 packet, or NO_SUM. */
static __always_inline __u64 sum_ipv4(struct iphdr *ip, void *end)
{
	__u32 header = ip->ihl * 4;

	if (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
		return NO_SUM;
	if (ip->protocol == IPPROTO_ICMP)
		return 0;
	if (ip->protocol == IPPROTO_UDP && lacks_checksum((void *)ip + header, end))
		return NO_SUM;
	/* Minus a word is its complement. */
	return (__u64)~load32(&ip->saddr) + ~load32(&ip->daddr) +
	       (__u16)~bpf_htons(bpf_ntohs(ip->tot_len) - header) + (__u16)~bpf_htons(ip->protocol);
}

/* Of a whole IPv6 packet, or NO_SUM: addresses and length are in its header and, negative, in what follows. */
static __always_inline __u64 sum_ipv6(struct ipv6hdr *ip, void *end)
{
	if (ip->nexthdr == IPPROTO_FRAGMENT ||
	    (ip->nexthdr == IPPROTO_UDP && lacks_checksum(ip + 1, end)))
		return NO_SUM;
	return (__u64)load32(ip) + load16(&ip->nexthdr) + (__u16)~bpf_htons(ip->nexthdr);
}

/*
 * Of the frame, which is UDP over IPv6 and complete but for the checksum.
 * family: of the inner packet. A global function: the verifier looks at it
 * once, by itself.
 */
__noinline int write_gue_sum(struct xdp_md *ctx, __u32 family, __u32 shim)
{
	word32 *ip = (void *)(long)ctx->data + ETH_HLEN;
	word32 *udp = ip + sizeof(struct ipv6hdr) / sizeof(*ip);
	void *inner = (void *)udp + sizeof(struct udphdr);
	void *end = (void *)(long)ctx->data_end;
	__u64 gue_header = 0, sum = NO_SUM;
	__u32 check;

	if (inner + sizeof(__u32) > end)
		return 0;
	if (shim > sizeof(struct udphdr)) {
		gue_header = udp[2];
		inner += sizeof(__u32);
	}
	if (family == 4 && inner + sizeof(struct iphdr) <= end)
		sum = sum_ipv4(inner, end);
	else if (family == 6 && inner + sizeof(struct ipv6hdr) <= end)
		sum = sum_ipv6(inner, end);
	if (sum == NO_SUM)
		return 0;
	/* The length is in the pseudo header too. */
	sum += gue_header + bpf_htons(IPPROTO_UDP) + udp[0] + 2 * (udp[1] & 0xffff);
#pragma unroll
	for (int word = 2; word < 10; word++)
		sum += ip[word];
	check = fold(sum);
	udp[1] |= (check ? check : 0xffff) << 16;
	return 0;
}

#endif
