// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The balancer: a packet to a service goes, encapsulated, to a backend;
 * everything to addresses that are no VIP goes to the kernel, untouched.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lb_types.h"
#include "maps.h"
#include "parse.h"
#include "hash.h"
#include "choose.h"
#include "encap.h"
#include "egress.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline struct ring *find_ring(__u32 service)
{
	__u32 first = 0;
	void *map = bpf_map_lookup_elem(&rings, &service);

	return map ? bpf_map_lookup_elem(map, &first) : NULL;
}

/* Why the packet cannot be encapsulated for this member, or REASON_NONE. frame: bytes after the Ethernet header. */
static __always_inline enum reason check_encapsulation(bool ipv6, __u32 frame)
{
	__u32 header = ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (ipv6 ? !config.has_source6 : !config.source4)
		return REASON_DROP_NO_SOURCE;
	return frame + header > config.mtu ? REASON_DROP_TOO_BIG : REASON_NONE;
}

static __always_inline struct verdict forward(struct xdp_md *ctx, const struct service *service,
					      const struct service_key *key,
					      const struct packet *packet, __u32 bytes)
{
	struct ring *ring = find_ring(service->id);
	struct verdict verdict = { XDP_DROP, REASON_DROP_NO_BACKEND };
	struct choice choice;
	struct outer outer;
	enum reason obstacle;
	__u64 hash;
	bool ipv6;

	if (!ring)
		return verdict;
	hash = flow_hash(config.fleet_key, key, packet);
	choice = choose_member(ring, packet, key->protocol, hash, bytes);
	if (!choice.member)
		return verdict;
	ipv6 = choice.member->flags & MEMBER_IPV6;
	obstacle = check_encapsulation(ipv6, bytes - ETH_HLEN);
	if (obstacle != REASON_NONE)
		return (struct verdict){ XDP_DROP, obstacle };
	if (ipv6)
		outer = encapsulate_ipv6(ctx, packet, choice.member, hash);
	else
		outer = encapsulate_ipv4(ctx, packet, choice.member, hash);
	verdict = send_outer(ctx, packet, outer, ipv6, choice.reason, bytes);
	if (verdict.action != XDP_DROP)
		count_member(choice.member->counter, packet->length,
			     choice.reason == REASON_FORWARDED_RING);
	return verdict;
}

/*
 * For a packet that matches no service; reason: why, if its destination is a
 * VIP. A function of its own, to keep it out of the way of those that match.
 */
static __noinline int refuse(struct service_key *key, enum reason reason, __u32 bytes)
{
	enum xdp_action action = XDP_DROP;

	if (reason == REASON_PASS_NOT_IP || reason == REASON_PASS_NOT_VIP) {
		action = XDP_PASS;
	} else if (!bpf_map_lookup_elem(&vips, &key->vip)) {
		reason = REASON_PASS_NOT_VIP;
		action = XDP_PASS;
	} else if (reason == REASON_DROP_UNMATCHED && config.flags & LB_UNMATCHED_PASS) {
		reason = REASON_PASS_UNMATCHED;
		action = XDP_PASS;
	}
	count_reason(reason, bytes);
	return action;
}

SEC("xdp")
int lb(struct xdp_md *ctx)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = {};
	__u32 bytes = ctx->data_end - ctx->data;
	enum reason reason = parse_packet(ctx, &key, &packet);
	struct service *service;
	struct verdict verdict;

	if (reason != REASON_NONE)
		return refuse(&key, reason, bytes);
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return refuse(&key, REASON_DROP_UNMATCHED, bytes);
	verdict = forward(ctx, service, &key, &packet, bytes);
	count_reason(verdict.reason, bytes);
	return verdict.action;
}
