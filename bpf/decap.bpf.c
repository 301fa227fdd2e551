// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * For a backend: takes the outer headers off what the load balancers send (see
 * encap.h) and gives the inner packet to the kernel, which must have the VIP
 * on an interface. Only what comes from an allowed load balancer is looked at,
 * and only what is for a VIP of this backend gets through; everything else
 * passes as it is. `ballast decap` attaches it and fills the maps.
 *
 * A UDP checksum is not verified: the inner packet has its own.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "decap_types.h"
#include "parse.h"
#include "vlan.h"

char LICENSE[] SEC("license") = "GPL";

#define ECN_MASK 3
#define ECN_CE 3
#define IPV4_PREFIX_WORD 0xffff0000 /* the third of the four words of ::ffff:a.b.c.d, as loaded */
#define DEFAULT_PREFIXES 1024
#define OUTER_MASK                                                                                 \
	63 /* changes no length of headers; the verifier has forgotten how long they can be */

/* Variant 0: version 0, no control message, no extensions: the first byte and the flags are 0. */
struct gue_header {
	__u8 version_and_length;
	__u8 protocol;
	__be16 flags;
};

/* draft-ietf-intarea-gue; a port of this machine that nothing else may listen on. */
const volatile __u16 gue_port = 6080;

/* What the inner destination may be. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEFAULT_PREFIXES);
	__type(key, struct prefix);
	__type(value, __u32);
} vips SEC(".maps");

/* What the outer source may be. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEFAULT_PREFIXES);
	__type(key, struct prefix);
	__type(value, __u32);
} allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DECAP_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct reason_counters);
} decap_counters SEC(".maps");

struct outer {
	__u32 bytes; /* of its headers; 0: not what a balancer sends */
	__u8 protocol;
	__u8 traffic;
	enum decap_reason kind;
	struct prefix source;
};

static __always_inline void load_ipv4(struct prefix *prefix, const void *from)
{
	word32 *words = (word32 *)prefix->address.bytes;

	prefix->bits = 128;
	words[0] = words[1] = 0;
	words[2] = IPV4_PREFIX_WORD;
	words[3] = load32(from);
}

static __always_inline void load_ipv6(struct prefix *prefix, const void *from)
{
	prefix->bits = 128;
	__builtin_memcpy(prefix->address.bytes, from, sizeof(prefix->address));
}

/* The balancer sends no options and no fragments. */
static __always_inline void outer_ipv4(const struct cursor *cursor, struct outer *outer)
{
	struct iphdr *ip = cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 4 || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
		return;
	outer->bytes = sizeof(*ip);
	outer->protocol = ip->protocol;
	outer->traffic = ip->tos;
	load_ipv4(&outer->source, &ip->saddr);
}

static __always_inline void outer_ipv6(const struct cursor *cursor, struct outer *outer)
{
	struct ipv6hdr *ip = cursor->at;

	if ((void *)(ip + 1) > cursor->end || ip->version != 6)
		return;
	outer->bytes = sizeof(*ip);
	outer->protocol = ip->nexthdr;
	outer->traffic = bpf_ntohl(load32(ip)) >> 20;
	load_ipv6(&outer->source, &ip->saddr);
}

/* What UDP holds; the cursor is at the IP header. Left alone, when it is not GUE as the balancer sends it. */
static __always_inline void parse_gue(const struct cursor *cursor, struct outer *outer)
{
	struct udphdr *udp = cursor->at + outer->bytes;
	struct gue_header *gue = (void *)(udp + 1);
	__u32 bytes = outer->bytes + sizeof(*udp);

	outer->bytes = 0;
	if ((void *)(gue + 1) > cursor->end || udp->dest != bpf_htons(gue_port))
		return;
	outer->kind = DECAP_GUE;
	switch (gue->version_and_length >> 4) {
	case 4:
		outer->protocol = IPPROTO_IPIP;
		break;
	case 6:
		outer->protocol = IPPROTO_IPV6;
		break;
	default:
		if (gue->version_and_length || gue->flags)
			return;
		bytes += sizeof(*gue);
		outer->protocol = gue->protocol;
		outer->kind = DECAP_GUE_0;
	}
	outer->bytes = bytes;
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

/* Takes the cursor's packet for the inner one: DECAP_REASON_COUNT when it may go on, marked if need be. */
static __always_inline enum decap_reason take_inner(struct cursor *cursor, __be16 type,
						    bool congested)
{
	struct iphdr *ipv4 = cursor->at;
	struct ipv6hdr *ipv6 = cursor->at;
	struct prefix vip;

	if (type == bpf_htons(ETH_P_IP)) {
		if ((void *)(ipv4 + 1) > cursor->end || ipv4->version != 4)
			return DECAP_DROP_MALFORMED;
		load_ipv4(&vip, &ipv4->daddr);
	} else {
		if ((void *)(ipv6 + 1) > cursor->end || ipv6->version != 6)
			return DECAP_DROP_MALFORMED;
		load_ipv6(&vip, &ipv6->daddr);
	}
	if (!bpf_map_lookup_elem(&vips, &vip))
		return DECAP_DROP_VIP;
	if (congested && !(type == bpf_htons(ETH_P_IP) ? mark_ipv4(ipv4) : mark_ipv6(ipv6)))
		return DECAP_DROP_CONGESTION;
	return DECAP_REASON_COUNT;
}

static __always_inline struct outer parse_outer(const struct cursor *cursor, __be16 type)
{
	struct outer outer = { .kind = DECAP_IPIP };

	if (type == bpf_htons(ETH_P_IP))
		outer_ipv4(cursor, &outer);
	else if (type == bpf_htons(ETH_P_IPV6))
		outer_ipv6(cursor, &outer);
	if (outer.bytes && outer.protocol == IPPROTO_UDP)
		parse_gue(cursor, &outer);
	if (outer.protocol != IPPROTO_IPIP && outer.protocol != IPPROTO_IPV6)
		outer.bytes = 0;
	return outer;
}

/* Leaves the Ethernet header, with another type. */
static __always_inline bool remove_outer(struct xdp_md *ctx, __u32 bytes, __be16 type)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct link_address to, from;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return false;
	to = load_link_address(eth->h_dest);
	from = load_link_address(eth->h_source);
	if (bpf_xdp_adjust_head(ctx, bytes))
		return false;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return false;
	store_link_address(eth->h_dest, to);
	store_link_address(eth->h_source, from);
	eth->h_proto = type;
	return true;
}

/* A function of its own, so that the object's BTF has the names of the reasons. */
static __noinline enum decap_reason unwrap(struct xdp_md *ctx)
{
	struct cursor cursor = frame_cursor(ctx);
	struct ethhdr *eth = cursor.at;
	enum decap_reason obstacle;
	struct outer outer;
	__be16 inner;

	if ((void *)(eth + 1) > cursor.end)
		return DECAP_PASS_OTHER;
	cursor.at = eth + 1;
	outer = parse_outer(&cursor, load16(&eth->h_proto));
	if (!outer.bytes)
		return DECAP_PASS_OTHER;
	if (!bpf_map_lookup_elem(&allowed, &outer.source))
		return DECAP_PASS_SOURCE;
	inner = outer.protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	cursor.at += outer.bytes & OUTER_MASK;
	obstacle = take_inner(&cursor, inner, (outer.traffic & ECN_MASK) == ECN_CE);
	if (obstacle != DECAP_REASON_COUNT)
		return obstacle;
	return remove_outer(ctx, outer.bytes, inner) ? outer.kind : DECAP_DROP_MALFORMED;
}

SEC("xdp")
int decap(struct xdp_md *ctx)
{
	struct reason_counters *counters;
	enum xdp_action action;
	__u32 reason, bytes = ctx->data_end - ctx->data;
	struct tags tags = peel_tags(ctx);

	forget_frame();
	reason = unwrap(ctx);
	action = reason >= DECAP_DROP_VIP ? XDP_DROP : XDP_PASS;
	counters = bpf_map_lookup_elem(&decap_counters, &reason);
	if (counters) {
		counters->packets++;
		counters->bytes += bytes;
	}
	return tags.bytes ? put_tags_back(ctx, tags, action) : action;
}
