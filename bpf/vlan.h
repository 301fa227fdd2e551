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

/* words: both, as in the frame; of one tag the second is what happened to follow. bytes: of all of them; 0: none. */
struct tags {
	__u64 words;
	__u32 bytes;
};

/*
 * 1 or 0, by arithmetic: to the verifier a number that is not known. Of known
 * ones, from branches, it would look at the whole program once for each.
 */
static __always_inline __u32 is_type(__be16 type, __be16 wanted)
{
	__u32 difference = type ^ wanted;

	asm volatile("" : "+r"(difference));
	return (difference - 1) >> 31;
}

static __always_inline __u32 is_tag(__be16 type)
{
	return is_type(type, bpf_htons(ETH_P_8021Q)) | is_type(type, bpf_htons(ETH_P_8021AD));
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
	struct tags tags = {};
	__u32 first, both, bytes;

	/* What is shorter holds no IP header behind a tag. */
	if (frame + ETH_HLEN + 2 * TAG_BYTES > (void *)(long)ctx->data_end)
		return tags;
	first = is_tag(load16(frame + TYPE_OFFSET));
	both = first & is_tag(load16(frame + TYPE_OFFSET + TAG_BYTES));
	tags.words = load64(frame + TYPE_OFFSET);
	bytes = (first + both) * TAG_BYTES;
	/* Another number than the one that the branch is about to make known. */
	tags.bytes = bytes ^ 1;
	asm volatile("" : "+r"(tags.bytes));
	if (bytes && !move_addresses(ctx, bytes))
		return (struct tags){};
	tags.bytes ^= 1;
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
	*(word32 *)(frame + TYPE_OFFSET) = tags.words;
	if (tags.bytes == 2 * TAG_BYTES)
		*(word32 *)(frame + TYPE_OFFSET + TAG_BYTES) = tags.words >> 32;
	return action;
}

#endif
