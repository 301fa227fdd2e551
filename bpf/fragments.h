/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments of TCP and UDP packets to a VIP. The first has the ports: it is
 * balanced as a whole packet would be, and where it went is remembered. Later
 * ones have none, and follow it, to the kernel's load balancer too. One that comes before the first, or to
 * another load balancer, is dropped and counted: nothing is held back here.
 */
#ifndef BALLAST_FRAGMENTS_H
#define BALLAST_FRAGMENTS_H

#include "choose.h"
#include "route.h"
#include "service.h"

/* 30 s: so long waits Linux for the rest of an IPv4 packet. Identifications are used again some time. */
#define FRAGMENT_TICKS 28

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 1

/* RFC 8200, 4.5. */
struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* Of the fragment: what names its packet, and which part of that it is. */
struct part {
	__u32 id;
	bool first;
	bool more;
	__u32 left; /* bytes of the IP packet from the cursor on */
};

/* cursor: as parse_packet left it at the IP header; goes to what is in fragments. */
static __always_inline enum reason parse_part4(struct cursor *cursor, struct service_key *key,
					       const struct packet *packet, struct part *part)
{
	struct iphdr *ip = cursor->at;
	__u32 header;

	if ((void *)(ip + 1) > cursor->end)
		return REASON_DROP_MALFORMED;
	header = ip->ihl * 4;
	part->id = ip->id;
	part->first = !(ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET));
	part->more = ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS);
	part->left = packet->length - header;
	key->protocol = ip->protocol;
	cursor->at += header;
	return REASON_NONE;
}

/* cursor: as parse_packet left it at the fragment header; goes behind that. */
static __always_inline enum reason parse_part6(struct cursor *cursor, struct service_key *key,
					       const struct packet *packet, struct part *part)
{
	struct fragment_header *header = cursor->at;
	__u32 payload = packet->length - sizeof(struct ipv6hdr);

	if (payload < sizeof(*header) || (void *)(header + 1) > cursor->end)
		return REASON_DROP_MALFORMED;
	part->id = header->id;
	part->first = !(header->offset & bpf_htons(IPV6_FRAGMENT_OFFSET));
	part->more = header->offset & bpf_htons(IPV6_MORE_FRAGMENTS);
	part->left = payload - sizeof(*header);
	key->protocol = header->next;
	cursor->at = header + 1;
	return REASON_NONE;
}

/* Fills all of them, with REASON_NONE; else why the fragment goes nowhere. cursor: goes to what is in fragments. */
static __always_inline enum reason parse_part(struct xdp_md *ctx, struct cursor *cursor,
					      struct service_key *key, struct packet *packet,
					      struct part *part)
{
	enum reason reason;

	*cursor = frame_cursor(ctx);
	if (parse_packet(cursor, key, packet) != REASON_DROP_FRAGMENT)
		return REASON_DROP_MALFORMED;
	reason = packet->family == 4 ? parse_part4(cursor, key, packet, part)
				     : parse_part6(cursor, key, packet, part);
	if (reason != REASON_NONE)
		return reason;
	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP)
		return REASON_DROP_FRAGMENT;
	return REASON_NONE;
}

static __always_inline struct fragment_key fragment_key(const struct service_key *key,
							const struct packet *packet, __u32 id)
{
	return (struct fragment_key){
		.source = { packet->source[0], packet->source[1] },
		.vip = key->vip,
		.id = id,
		.protocol = key->protocol,
	};
}

/*
 * Of a later fragment: fills `first`, or says why not. REASON_NONE: it is the
 * first itself. See may_enter for why these are global.
 */
__noinline int follow_first(struct xdp_md *ctx, struct fragment *first)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor;
	struct part part;
	struct fragment_key place;
	struct fragment *found;
	enum reason reason = parse_part(ctx, &cursor, &key, &packet, &part);

	if (!first || reason != REASON_NONE || part.first)
		return reason;
	place = fragment_key(&key, &packet, part.id);
	found = bpf_map_lookup_elem(&fragments, &place);
	if (!found || (flow_now() - found->tick) % (1 << FLOW_STAMP_BITS) > FRAGMENT_TICKS)
		return REASON_DROP_FRAGMENT_UNKNOWN;
	*first = *found;
	return found->generation ? REASON_FORWARDED_FRAGMENT : REASON_PASS_HANDOVER;
}

/* Of a first fragment: fills `first`, or says why not. bytes: of the frame. */
__noinline int balance_first(struct xdp_md *ctx, __u32 bytes, struct fragment *first)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor;
	struct part part;
	struct choice choice;
	struct found_service service = {};
	struct ring *ring;
	enum reason reason = parse_part(ctx, &cursor, &key, &packet, &part);

	if (reason == REASON_NONE)
		reason = parse_transport(&cursor, part.left, &key, &packet);
	if (!first || reason != REASON_NONE)
		return reason;
	if (!find_service(&key, &service))
		return REASON_DROP_UNMATCHED;
	first->service = service.id;
	ring = service.ring;
	if (!ring)
		return REASON_DROP_NO_BACKEND;
	first->hash = flow_hash(config.fleet_key, &key, &packet);
	choice = choose_member(ctx, ring, &key, &packet, first->hash, bytes);
	if (!choice.member)
		return choice.reason;
	first->index = choice.member - ring->members;
	first->generation = choice.member->generation;
	return choice.reason;
}

__noinline int remember_first(struct xdp_md *ctx, struct fragment *first)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor;
	struct part part;
	struct fragment_key place;
	struct fragment seen;

	if (!first || parse_part(ctx, &cursor, &key, &packet, &part) != REASON_NONE || !part.more)
		return 0;
	place = fragment_key(&key, &packet, part.id);
	/* Before Linux 6.2 a map takes nothing from where a global function was pointed to. */
	seen = *first;
	seen.tick = flow_now();
	bpf_map_update_elem(&fragments, &place, &seen, BPF_ANY);
	return 0;
}

/* For a fragment of a packet to a VIP. bytes: of the frame. */
static __always_inline struct route route_fragment(struct xdp_md *ctx, __u32 bytes)
{
	struct fragment first = {};
	struct route route = { .choice.reason = follow_first(ctx, &first) };

	if (route.choice.reason == REASON_NONE) {
		route.choice.reason = balance_first(ctx, bytes, &first);
		if (first.generation || route.choice.reason == REASON_PASS_HANDOVER)
			remember_first(ctx, &first);
	}
	if (!first.generation)
		return route;
	route.hash = first.hash;
	route.ring = find_ring(first.service);
	if (!route.ring || first.index >= RING_MEMBERS ||
	    route.ring->members[first.index].generation != first.generation)
		return (struct route){ .choice.reason = REASON_DROP_FRAGMENT_UNKNOWN };
	route.choice.member = &route.ring->members[first.index];
	return route;
}

#endif
