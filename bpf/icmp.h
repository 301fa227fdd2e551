/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ICMP to a VIP, RFC 792 and RFC 4443. Functions of their own that look at the
 * frame again from its start: what they need costs other packets nothing.
 *
 * An error is about a packet that a backend sent to a client; what it quotes
 * of that, at least an IP header and 8 bytes, names the flow. The balancer
 * that the error comes to need not be the flow's: all have the same rings.
 */
#ifndef BALLAST_ICMP_H
#define BALLAST_ICMP_H

#include "choose.h"
#include "deliver.h"
#include "service.h"

/* linux/icmp.h needs a C library's headers. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP_FRAG_NEEDED 4 /* a code of ICMP_DEST_UNREACH */

/* The same for both versions. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

#define IPV4_FRAGMENT_OFFSET 0x1fff

/* Of ICMPv6 types, RFC 4861: solicitations and advertisements of routers and neighbours, redirects. */
#define NEIGHBOUR_FIRST 133
#define NEIGHBOUR_LAST 137

/* False: the balancer has said enough in this tick. */
static __always_inline bool may_answer(enum limited kind)
{
	__u32 index = kind, tick = flow_now();
	struct limit *limit = bpf_map_lookup_elem(&limits, &index);

	if (!limit)
		return false;
	if (limit->tick != tick) {
		limit->tick = tick;
		limit->used = 0;
	}
	return limit->used++ < LIMIT_PER_TICK;
}

static __always_inline struct verdict unmatched(void)
{
	if (config.flags & LB_UNMATCHED_PASS)
		return (struct verdict){ XDP_PASS, REASON_PASS_UNMATCHED };
	return (struct verdict){ XDP_DROP, REASON_DROP_UNMATCHED };
}

/* RFC 1624, for a 16-bit word that shrinks by `less`; one that grows by n shrinks by 0xffff - n. */
static __always_inline __be16 checksum_after(__be16 check, __u32 less)
{
	__u32 sum = bpf_ntohs(check) + less;

	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_htons((sum & 0xffff) + (sum >> 16));
}

/* Sends the frame back to where it came from, its addresses swapped; TTL is that of a new packet. */
static __always_inline void turn_around(struct ethhdr *eth, const struct packet *packet)
{
	struct ipv6hdr *ipv6 = (void *)(eth + 1);
	struct iphdr *ipv4 = (void *)(eth + 1);
	__u64 addresses, words[4];

	store_link_address(eth->h_dest, packet->from);
	store_link_address(eth->h_source, packet->to);
	if (packet->family == 4) {
		addresses = load64(&ipv4->saddr);
		*(word64 *)&ipv4->saddr = addresses << 32 | addresses >> 32;
		ipv4->check = checksum_after(ipv4->check, 0xffff + ((ipv4->ttl - OUTER_TTL) << 8));
		ipv4->ttl = OUTER_TTL;
		return;
	}
	words[0] = load64(&ipv6->saddr);
	words[1] = load64(&ipv6->saddr.in6_u.u6_addr32[2]);
	words[2] = load64(&ipv6->daddr);
	words[3] = load64(&ipv6->daddr.in6_u.u6_addr32[2]);
	*(word64 *)&ipv6->saddr = words[2];
	*(word64 *)&ipv6->saddr.in6_u.u6_addr32[2] = words[3];
	*(word64 *)&ipv6->daddr = words[0];
	*(word64 *)&ipv6->daddr.in6_u.u6_addr32[2] = words[1];
	ipv6->hop_limit = OUTER_TTL;
}

static __always_inline struct verdict answer_echo(struct xdp_md *ctx, struct icmp_header *icmp,
						  const struct packet *packet)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) + sizeof(struct ipv6hdr) > (void *)(long)ctx->data_end)
		return (struct verdict){ XDP_DROP, REASON_DROP_MALFORMED };
	if (!may_answer(LIMITED_ECHO))
		return (struct verdict){ XDP_DROP, REASON_DROP_ICMP_LIMIT };
	if (packet->family == 4) {
		icmp->checksum = checksum_after(icmp->checksum, ICMP_ECHO << 8);
		icmp->type = ICMP_ECHOREPLY;
	} else {
		icmp->checksum = checksum_after(icmp->checksum, 0xffff - (1 << 8));
		icmp->type = ICMPV6_ECHO_REPLY;
	}
	turn_around(eth, packet);
	return (struct verdict){ XDP_TX, REASON_ANSWERED_ECHO };
}

/* Ports as the client has them in its packets; the quoted packet is one to the client. */
static __always_inline enum reason quoted_ports(struct cursor *cursor, struct service_key *key,
						struct packet *packet)
{
	__u32 ports;

	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP)
		return REASON_DROP_UNMATCHED;
	if (cursor->at + ICMP_BYTES > cursor->end)
		return REASON_DROP_MALFORMED;
	ports = load32(cursor->at);
	key->port = ports;
	packet->ports = ports << 16 | ports >> 16;
	return REASON_NONE;
}

static __always_inline enum reason quoted_ipv4(struct cursor *cursor, struct service_key *key,
					       struct packet *packet)
{
	struct iphdr *ip = cursor->at;
	__u64 addresses;
	__u32 header;

	if ((void *)(ip + 1) > cursor->end || ip->version != 4 || ip->ihl < 5)
		return REASON_DROP_MALFORMED;
	addresses = load64(&ip->saddr);
	if ((__u32)addresses != load32(&key->vip.bytes[12]))
		return REASON_DROP_UNMATCHED;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return REASON_DROP_FRAGMENT;
	packet->source[0] = addresses << 32 | addresses >> 32;
	key->protocol = ip->protocol;
	header = ip->ihl * 4;
	cursor->at += header;
	return quoted_ports(cursor, key, packet);
}

static __always_inline enum reason quoted_ipv6(struct cursor *cursor, struct service_key *key,
					       struct packet *packet)
{
	const word64 *vip = (const word64 *)key->vip.bytes;
	struct ipv6hdr *ip = cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 6)
		return REASON_DROP_MALFORMED;
	if (load64(&ip->saddr) != vip[0] || load64(&ip->saddr.in6_u.u6_addr32[2]) != vip[1])
		return REASON_DROP_UNMATCHED;
	packet->source[0] = load64(&ip->daddr);
	packet->source[1] = load64(&ip->daddr.in6_u.u6_addr32[2]);
	key->protocol = ip->nexthdr;
	cursor->at = ip + 1;
	return quoted_ports(cursor, key, packet);
}

/* key, packet: of the error; what names the flow is put in their places. */
static __always_inline struct verdict forward_error(struct xdp_md *ctx, struct cursor *cursor,
						    struct service_key *key, struct packet *packet,
						    __u32 bytes)
{
	struct verdict verdict = { XDP_DROP, REASON_DROP_NO_BACKEND };
	struct found_service service = {};
	struct choice choice;
	struct ring *ring;
	enum reason reason;
	__u64 hash;

	cursor->at += ICMP_BYTES;
	reason = packet->family == 4 ? quoted_ipv4(cursor, key, packet)
				     : quoted_ipv6(cursor, key, packet);
	if (reason == REASON_DROP_UNMATCHED)
		return unmatched();
	if (reason != REASON_NONE)
		return (struct verdict){ XDP_DROP, reason };
	if (!find_service(key, &service))
		return unmatched();
	ring = service.ring;
	if (!ring)
		return verdict;
	hash = flow_hash(config.fleet_key, key, packet);
	choice = peek_member(ring, key, packet, hash);
	if (choice.reason == REASON_PASS_HANDOVER)
		return (struct verdict){ XDP_PASS, choice.reason };
	if (!choice.member)
		return verdict;
	choice.reason = REASON_FORWARDED_ICMP;
	verdict = deliver(ctx, packet, ring, choice, hash, bytes);
	if (verdict.reason == REASON_TOO_BIG)
		verdict.reason = REASON_DROP_TOO_BIG;
	return verdict;
}

enum icmp_kind {
	ICMP_KIND_OTHER,
	ICMP_KIND_ECHO,
	ICMP_KIND_ERROR,
	ICMP_KIND_NEIGHBOUR,
};

static __always_inline enum icmp_kind icmp_kind(__u8 family, __u8 type)
{
	if (family == 4) {
		if (type == ICMP_ECHO)
			return ICMP_KIND_ECHO;
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
				       type == ICMP_PARAMETERPROB
			       ? ICMP_KIND_ERROR
			       : ICMP_KIND_OTHER;
	}
	if (type == ICMPV6_ECHO_REQUEST)
		return ICMP_KIND_ECHO;
	if (type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB)
		return ICMP_KIND_ERROR;
	return type >= NEIGHBOUR_FIRST && type <= NEIGHBOUR_LAST ? ICMP_KIND_NEIGHBOUR
								 : ICMP_KIND_OTHER;
}

/* Not on the stack, of which a program and all that it calls have 512 bytes. Nothing else runs on the CPU meanwhile. */
struct icmp_scratch {
	struct service_key key __attribute__((aligned(8)));
	struct packet packet;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_scratch);
} icmp_scratch SEC(".maps");

static __always_inline struct verdict judge_icmp(struct xdp_md *ctx, __u32 bytes)
{
	__u32 first = 0;
	struct icmp_scratch *scratch = bpf_map_lookup_elem(&icmp_scratch, &first);
	struct cursor cursor = frame_cursor(ctx);
	struct icmp_header *icmp;

	if (!scratch)
		return (struct verdict){ XDP_PASS, REASON_PASS_NOT_VIP };
	__builtin_memset(scratch, 0, sizeof(*scratch));
	if (parse_packet(&cursor, &scratch->key, &scratch->packet) != REASON_ICMP ||
	    !bpf_map_lookup_elem(&vips, &scratch->key.vip))
		return (struct verdict){ XDP_PASS, REASON_PASS_NOT_VIP };
	icmp = cursor.at;
	switch (icmp_kind(scratch->packet.family, icmp->type)) {
	case ICMP_KIND_ECHO:
		return answer_echo(ctx, icmp, &scratch->packet);
	case ICMP_KIND_ERROR:
		return forward_error(ctx, &cursor, &scratch->key, &scratch->packet, bytes);
	case ICMP_KIND_NEIGHBOUR:
		return (struct verdict){ XDP_PASS, REASON_PASS_NEIGHBOUR };
	default:
		return unmatched();
	}
}

#endif
