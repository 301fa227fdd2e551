/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * VLAN tags (IEEE 802.1Q, 802.1ad), one or two: taken off before anything
 * looks at the frame, and put back before it leaves or goes to the kernel, so
 * that nothing else has to know of them. A frame with more of them is no IP.
 */
#ifndef BALLAST_VLAN_H
#define BALLAST_VLAN_H

#include "parse.h"

#define TAG_BYTES 4
#define TYPE_OFFSET 12 /* of the EtherType, or of the first tag */

/* As in the frame, type first. bytes: of all of them; 0: there was none. */
struct tags {
	__u32 outer;
	__u32 inner;
	__u32 bytes;
};

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Moves the Ethernet addresses, which stand before the tags. False: there is no room, and the frame is as it was. */
static __always_inline bool move_addresses(struct xdp_md *ctx, int by)
{
	void *frame = (void *)(long)ctx->data;
	struct link_address to, from;

	if (frame + ETH_HLEN > (void *)(long)ctx->data_end)
		return false;
	to = load_link_address(frame);
	from = load_link_address(frame + ETH_ALEN);
	if (bpf_xdp_adjust_head(ctx, by))
		return false;
	frame = (void *)(long)ctx->data;
	if (frame + ETH_HLEN > (void *)(long)ctx->data_end)
		return false;
	store_link_address(frame, to);
	store_link_address(frame + ETH_ALEN, from);
	return true;
}

static __always_inline struct tags peel_tags(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct tags tags = {};

	if (frame + ETH_HLEN + TAG_BYTES > end || !is_tag(load16(frame + TYPE_OFFSET)))
		return tags;
	tags.outer = load32(frame + TYPE_OFFSET);
	tags.bytes = TAG_BYTES;
	if (frame + ETH_HLEN + 2 * TAG_BYTES <= end &&
	    is_tag(load16(frame + TYPE_OFFSET + TAG_BYTES))) {
		tags.inner = load32(frame + TYPE_OFFSET + TAG_BYTES);
		tags.bytes = 2 * TAG_BYTES;
	}
	if (!move_addresses(ctx, tags.bytes))
		tags.bytes = 0;
	return tags;
}

/* Lets clang know that the frame may have moved: merged from both ways, its bounds are no pointers to the verifier. */
#define forget_frame() asm volatile("" ::: "memory")

/* What to do with the frame: as given, unless there is no room for the tags. */
static __always_inline enum xdp_action put_tags_back(struct xdp_md *ctx, struct tags tags,
						     enum xdp_action action)
{
	void *frame;

	if (action == XDP_DROP)
		return action;
	if (!move_addresses(ctx, -(int)tags.bytes))
		return XDP_DROP;
	frame = (void *)(long)ctx->data;
	if (frame + ETH_HLEN + 2 * TAG_BYTES > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*(word32 *)(frame + TYPE_OFFSET) = tags.outer;
	if (tags.bytes == 2 * TAG_BYTES)
		*(word32 *)(frame + TYPE_OFFSET + TAG_BYTES) = tags.inner;
	return action;
}

#endif
