/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a frame to what the balancer needs of it. Each step checks its header
 * against the end of the frame, moves the cursor behind it and goes on to the
 * next.
 *
 * IPv6 extension headers: a fragment header is a fragment; a packet with any
 * other (hop-by-hop, routing, destination options) matches no service. No
 * TCP or UDP client sends them, and skipping them would hide the port from
 * every device between here and the backend that spreads by it.
 */
#ifndef BALLAST_PARSE_H
#define BALLAST_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lb_types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as little-endian");

/* 8, 4 and 2 bytes of a header at once, whatever type they have there. */
typedef __u64 __attribute__((__may_alias__)) word64;
typedef __u32 __attribute__((__may_alias__)) word32;
typedef __u16 __attribute__((__may_alias__)) word16;

#define REASON_NONE REASON_COUNT	  /* nothing speaks against forwarding */
#define REASON_ICMP (REASON_COUNT + 1)	  /* ICMP or ICMPv6: has no ports of its own */
#define REASON_TOO_BIG (REASON_COUNT + 2) /* would exceed the MTU; its sender may be told */

#define ICMP_BYTES 8 /* of the fixed part of any ICMP header */

#define IP_FRAGMENT_BITS 0x3fff /* more fragments, or an offset */

#define TCP_FIN (1 << 0)
#define TCP_SYN (1 << 1)
#define TCP_RST (1 << 2)
#define TCP_ACK (1 << 4)

struct cursor {
	void *at;
	void *end;
};

static __always_inline struct cursor frame_cursor(struct xdp_md *ctx)
{
	return (struct cursor){ (void *)(long)ctx->data, (void *)(long)ctx->data_end };
}

/* An Ethernet address, in the lower 6 bytes. One word, because two are two places on the stack. */
struct link_address {
	__u64 word;
};

struct packet {
	struct link_address to;
	struct link_address from;
	/*
	 * The words of the header that the flow hash takes. IPv6: the source.
	 * IPv4: word 0 is source and destination, word 1 is not used.
	 */
	__u64 source[2];
	__u32 ports;	/* source and destination port, as in the header */
	__u32 length;	/* of the IP packet, as its header says */
	__u8 family;	/* 4, 6 */
	__u8 traffic;	/* type of service, or traffic class */
	__u8 tcp_flags; /* 0 for UDP */
	__u8 tagged;	/* its frame had VLAN tags */
};

/* Functions, because a cast alone would keep the alignment of what it casts, and be split into parts. */
static __always_inline __u64 load64(const void *from)
{
	return *(const word64 *)from;
}

static __always_inline __u32 load32(const void *from)
{
	return *(const word32 *)from;
}

static __always_inline __u16 load16(const void *from)
{
	return *(const word16 *)from;
}

/* Reads 8 bytes: of one of the addresses of a whole Ethernet header. */
static __always_inline struct link_address load_link_address(const void *from)
{
	return (struct link_address){ load64(from) };
}

static __always_inline void store_link_address(void *to, struct link_address address)
{
	*(word32 *)to = address.word;
	*(word16 *)(to + 4) = address.word >> 32;
}

/* Ports and flags. left: bytes of the IP packet from the cursor on. */
static __always_inline enum reason parse_transport(struct cursor *cursor, __u32 left,
						   struct service_key *key, struct packet *packet)
{
	void *header = cursor->at;

	switch (key->protocol) {
	case IPPROTO_TCP:
		if (left < sizeof(struct tcphdr) || header + sizeof(struct tcphdr) > cursor->end)
			return REASON_DROP_MALFORMED;
		packet->tcp_flags = ((__u8 *)header)[13];
		break;
	case IPPROTO_UDP:
		if (left < sizeof(struct udphdr) || header + sizeof(struct udphdr) > cursor->end)
			return REASON_DROP_MALFORMED;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((packet->family == 4) != (key->protocol == IPPROTO_ICMP))
			return REASON_DROP_UNMATCHED;
		if (left < ICMP_BYTES || header + ICMP_BYTES > cursor->end)
			return REASON_DROP_MALFORMED;
		return REASON_ICMP;
	case IPPROTO_FRAGMENT:
		return packet->family == 6 ? REASON_DROP_FRAGMENT : REASON_DROP_UNMATCHED;
	default:
		return REASON_DROP_UNMATCHED;
	}
	packet->ports = load32(header);
	key->port = packet->ports >> 16;
	return REASON_NONE;
}

static __always_inline enum reason parse_ipv4(struct cursor *cursor, struct service_key *key,
					      struct packet *packet)
{
	struct iphdr *ip = cursor->at;
	word64 *vip = (word64 *)key->vip.bytes;
	__u32 header, whole = cursor->end - cursor->at;
	__u64 addresses;

	if ((void *)(ip + 1) > cursor->end || ip->version != 4)
		return REASON_PASS_NOT_IP;
	addresses = load64(&ip->saddr);
	vip[0] = 0;
	vip[1] = (addresses & ~0xffffffffULL) | 0xffff0000;
	header = ip->ihl * 4;
	packet->family = 4;
	packet->traffic = ip->tos;
	packet->source[0] = addresses;
	packet->length = bpf_ntohs(ip->tot_len);
	if (header < sizeof(*ip) || packet->length < header || packet->length > whole)
		return REASON_DROP_MALFORMED;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
		return REASON_DROP_FRAGMENT;
	key->protocol = ip->protocol;
	cursor->at += header;
	return parse_transport(cursor, packet->length - header, key, packet);
}

static __always_inline enum reason parse_ipv6(struct cursor *cursor, struct service_key *key,
					      struct packet *packet)
{
	struct ipv6hdr *ip = cursor->at;
	word64 *vip = (word64 *)key->vip.bytes;
	__u32 payload, whole = cursor->end - cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 6)
		return REASON_PASS_NOT_IP;
	vip[0] = load64(&ip->daddr);
	vip[1] = load64(&ip->daddr.in6_u.u6_addr32[2]);
	payload = bpf_ntohs(ip->payload_len);
	packet->family = 6;
	packet->traffic = bpf_ntohl(load32(ip)) >> 20;
	packet->source[0] = load64(&ip->saddr);
	packet->source[1] = load64(&ip->saddr.in6_u.u6_addr32[2]);
	packet->length = sizeof(*ip) + payload;
	if (packet->length > whole)
		return REASON_DROP_MALFORMED;
	key->protocol = ip->nexthdr;
	cursor->at = ip + 1;
	return parse_transport(cursor, payload, key, packet);
}

/*
 * REASON_NONE: key and packet are filled. REASON_ICMP: all but their ports
 * are, and the cursor is at the ICMP header. REASON_PASS_NOT_IP, and
 * REASON_PASS_NOT_VIP for a frame to a group (flooded, never ours to
 * forward): neither is. Any other: why the packet would not be forwarded if
 * key->vip, which is filled, is a VIP.
 */
static __always_inline enum reason parse_packet(struct cursor *cursor, struct service_key *key,
						struct packet *packet)
{
	struct ethhdr *eth = cursor->at;

	if ((void *)(eth + 1) > cursor->end)
		return REASON_PASS_NOT_IP;
	if (eth->h_dest[0] & 1)
		return REASON_PASS_NOT_VIP;
	packet->to = load_link_address(eth->h_dest);
	packet->from = load_link_address(eth->h_source);
	cursor->at = eth + 1;
	switch (load16(&eth->h_proto)) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(cursor, key, packet);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(cursor, key, packet);
	default:
		return REASON_PASS_NOT_IP;
	}
}

#endif
