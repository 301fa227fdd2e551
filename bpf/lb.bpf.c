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
#include "vlan.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline struct verdict forward(struct xdp_md *ctx, const struct service *service,
					      const struct service_key *key,
					      const struct packet *packet, __u32 bytes)
{
	struct ring *ring = find_ring(service->id);
	struct verdict verdict = { XDP_DROP, REASON_DROP_NO_BACKEND };
	struct choice choice;
	__u64 hash;

	if (!ring)
		return verdict;
	hash = flow_hash(config.fleet_key, key, packet);
	choice = choose_member(ring, key, packet, hash, bytes);
	if (!choice.member)
		return verdict;
	verdict = deliver(ctx, packet, ring, choice, hash, bytes);
	if (verdict.reason == REASON_TOO_BIG) {
		verdict.reason = answer_too_big(ctx, outer_bytes(choice.member));
		if (verdict.reason == REASON_ANSWERED_TOO_BIG)
			verdict.action = XDP_TX;
	}
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

static __always_inline enum xdp_action balance(struct xdp_md *ctx, bool tagged)
{
	struct service_key key __attribute__((aligned(8))) = {};
	struct packet packet = { .tagged = tagged };
	__u32 bytes = ctx->data_end - ctx->data;
	struct cursor cursor = frame_cursor(ctx);
	enum reason reason = parse_packet(&cursor, &key, &packet);
	struct service *service;
	struct verdict verdict;

	if (reason == REASON_ICMP)
		return take_icmp(ctx, bytes);
	if (reason != REASON_NONE)
		return refuse(&key, reason, bytes);
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return refuse(&key, REASON_DROP_UNMATCHED, bytes);
	verdict = forward(ctx, service, &key, &packet, bytes);
	count_reason(verdict.reason, bytes);
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
