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
#include "deliver.h"
#include "icmp.h"
#include "too_big.h"
#include "route.h"
#include "fragments.h"
#include "trace.h"
#include "vlan.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline struct verdict forward(struct xdp_md *ctx, const struct packet *packet,
					      struct route route, __u32 bytes)
{
	if (!route.choice.member) {
		if (route.choice.reason == REASON_PASS_HANDOVER)
			return (struct verdict){ XDP_PASS, route.choice.reason };
		return (struct verdict){ XDP_DROP, route.choice.reason };
	}
	return deliver_or_answer(ctx, packet, route.ring, route.choice, route.hash, bytes);
}

/* Of a packet to a VIP, as far as is known. */
static __always_inline bool is_tracked_fragment(const struct service_key *key, enum reason reason)
{
	return reason == REASON_DROP_FRAGMENT && !(config.flags & LB_FRAGMENTS_DROP) &&
	       bpf_map_lookup_elem(&vips, &key->vip);
}

/* An action. bytes: of the frame. */
static __noinline int take_icmp(struct xdp_md *ctx, __u32 bytes)
{
	struct verdict verdict = judge_icmp(ctx, bytes);

	count_reason(verdict.reason, bytes);
	trace(ctx, verdict, bytes, NULL);
	return verdict.action;
}

/*
 * For a packet that matches no service; reason: why, if its destination is a
 * VIP. A function of its own, to keep it out of the way of those that match.
 */
static __noinline int refuse(struct xdp_md *ctx, struct service_key *key, enum reason reason,
			     __u32 bytes)
{
	enum xdp_action action = XDP_DROP;

	if (reason == REASON_PASS_NOT_IP || reason == REASON_PASS_NOT_VIP ||
	    reason == REASON_PASS_HANDOVER) {
		action = XDP_PASS;
	} else if (!bpf_map_lookup_elem(&vips, &key->vip)) {
		reason = REASON_PASS_NOT_VIP;
		action = XDP_PASS;
	} else if (reason == REASON_DROP_UNMATCHED && config.flags & LB_UNMATCHED_PASS) {
		reason = REASON_PASS_UNMATCHED;
		action = XDP_PASS;
	}
	count_reason(reason, bytes);
	trace(ctx, (struct verdict){ action, reason }, bytes, NULL);
	return action;
}

static __always_inline enum xdp_action balance(struct xdp_md *ctx, bool tagged)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = { .tagged = tagged };
	__u32 bytes = ctx->data_end - ctx->data;
	struct cursor cursor = frame_cursor(ctx);
	enum reason reason = parse_packet(&cursor, &key, &packet);
	struct verdict verdict;
	struct route route;
	struct found_service service = {};

	if (reason == REASON_ICMP)
		return take_icmp(ctx, bytes);
	if (is_tracked_fragment(&key, reason)) {
		route = route_fragment(ctx, bytes);
		if (!route.choice.member)
			return refuse(ctx, &key, route.choice.reason, bytes);
	} else if (reason != REASON_NONE) {
		return refuse(ctx, &key, reason, bytes);
	} else if (find_service(&key, &service)) {
		route = route_packet(ctx, service.ring, &key, &packet, bytes);
	} else {
		reason =
			service.id == SERVICE_NOT_VIP ? REASON_PASS_NOT_VIP : REASON_DROP_UNMATCHED;
		return refuse(ctx, &key, reason, bytes);
	}
	verdict = forward(ctx, &packet, route, bytes);
	count_reason(verdict.reason, bytes);
	trace(ctx, verdict, bytes, route.choice.member);
	return verdict.action;
}

SEC("xdp")
int lb(struct xdp_md *ctx)
{
	struct tags tags = peel_tags(ctx);
	enum xdp_action action;

	forget_frame();
	action = balance(ctx, tags.bytes);
	return tags.bytes ? put_tags_back(ctx, tags, action) : action;
}
