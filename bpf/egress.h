/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How the encapsulated frame leaves.
 *
 * Hairpin: back to the router that it came from, which knows the way. FIB: as
 * the kernel would route it (with forwarding enabled, else the kernel does
 * not tell). A next hop whose link address is unknown gets resolved when the
 * kernel forwards a packet to it, and so it is given this one. It is given
 * those that came with VLAN tags too: which of its devices a route leads to
 * through which tags, the FIB does not tell, and none of them takes frames
 * from here.
 */
#ifndef BALLAST_EGRESS_H
#define BALLAST_EGRESS_H

#include "encap.h"
#include "maps.h"
#include "parse.h"

/* From the kernel's include/linux/socket.h, which user space does not see. */
#define AF_INET 2
#define AF_INET6 10

/* reason: unless a drop, that of the choice. */
struct verdict {
	enum xdp_action action;
	enum reason reason;
};

static __always_inline struct bpf_fib_lookup
fib_query(struct xdp_md *ctx, const struct packet *packet, struct outer outer, bool ipv6)
{
	struct bpf_fib_lookup fib = {
		.l4_protocol = outer_protocol(packet, outer.shim),
	};
	void *end = (void *)(long)ctx->data_end;

	/* Bounds again: the verifier has seen more than one way to here. Without a family there is no route. */
	if (ipv6 && (void *)outer.ip + sizeof(struct ipv6hdr) <= end) {
		fib.family = AF_INET6;
		fib.tot_len = packet->length + outer.shim + sizeof(struct ipv6hdr);
		fib.flowinfo = outer.ip[0] & bpf_htonl(0x0fffffff);
		__builtin_memcpy(fib.ipv6_src, outer.ip + 2, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, outer.ip + 6, sizeof(fib.ipv6_dst));
	} else if (!ipv6 && (void *)outer.ip + sizeof(struct iphdr) <= end) {
		fib.family = AF_INET;
		fib.tot_len = packet->length + outer.shim + sizeof(struct iphdr);
		fib.tos = packet->traffic;
		fib.ipv4_src = outer.ip[3];
		fib.ipv4_dst = outer.ip[4];
	}
	return fib;
}

/* The encapsulated packet, as a router would get it. */
static __always_inline struct verdict
leave_to_kernel(const struct packet *packet, struct outer outer, enum reason reason, __u32 bytes)
{
	count_reason(REASON_EGRESS_UNRESOLVED, bytes);
	store_link_address(outer.eth->h_dest, packet->to);
	store_link_address(outer.eth->h_source, packet->from);
	return (struct verdict){ XDP_PASS, reason };
}

static __always_inline struct verdict route_by_fib(struct xdp_md *ctx, const struct packet *packet,
						   struct outer outer, bool ipv6,
						   enum reason reason, __u32 bytes)
{
	/* Once: clang would share the field's address, and the verifier takes none but the context's own. */
	__u32 ingress = *(volatile __u32 *)&ctx->ingress_ifindex;
	struct bpf_fib_lookup fib = fib_query(ctx, packet, outer, ipv6);

	fib.ifindex = ingress;
	switch (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return leave_to_kernel(packet, outer, reason, bytes);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return (struct verdict){ XDP_DROP, REASON_DROP_TOO_BIG };
	default:
		return (struct verdict){ XDP_DROP, REASON_DROP_NO_ROUTE };
	}
	__builtin_memcpy(outer.eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(outer.eth->h_source, fib.smac, ETH_ALEN);
	if (fib.ifindex == ingress)
		return (struct verdict){ XDP_TX, reason };
	return (struct verdict){ bpf_redirect(fib.ifindex, 0), reason };
}

static __always_inline struct verdict send_outer(struct xdp_md *ctx, const struct packet *packet,
						 struct outer outer, bool ipv6, enum reason reason,
						 __u32 bytes)
{
	if (!outer.eth)
		return (struct verdict){ XDP_DROP, REASON_DROP_TOO_BIG };
	if (config.flags & LB_EGRESS_FIB && packet->tagged)
		return leave_to_kernel(packet, outer, reason, bytes);
	if (config.flags & LB_EGRESS_FIB)
		return route_by_fib(ctx, packet, outer, ipv6, reason, bytes);
	store_link_address(outer.eth->h_dest, packet->from);
	store_link_address(outer.eth->h_source, packet->to);
	return (struct verdict){ XDP_TX, reason };
}

#endif
