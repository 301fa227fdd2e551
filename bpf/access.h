/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which sources a service lets in: the longest prefix of its list that holds
 * the source decides.
 */
#ifndef BALLAST_ACCESS_H
#define BALLAST_ACCESS_H

#include "maps.h"
#include "parse.h"

static __always_inline bool is_allowed(const struct ring *ring, const struct packet *packet)
{
	struct access_key key = {
		.bits = ACCESS_LIST_BITS + (packet->family == 4 ? 32 : 128),
		.list = ring->access_list,
		.family = packet->family,
	};
	word32 *address = (word32 *)key.address.bytes;
	struct access_prefix *prefix;

	address[0] = packet->source[0];
	if (packet->family == 6) {
		address[1] = packet->source[0] >> 32;
		address[2] = packet->source[1];
		address[3] = packet->source[1] >> 32;
	}
	prefix = bpf_map_lookup_elem(&access_prefixes, &key);
	return prefix ? prefix->allow : !(ring->features & RING_ACCESS_DENY);
}

/*
 * Whether a ring with RING_ACCESS lets the packet's source in.
 *
 * Like all that only some services need, a global function that looks at the frame
 * again: the verifier looks at it once, and other packets keep nothing for it.
 */
__noinline int may_enter(struct xdp_md *ctx, const struct ring *ring)
{
	struct service_key flow __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor = frame_cursor(ctx);

	parse_packet(&cursor, &flow, &packet);
	return ring && is_allowed(ring, &packet);
}

#endif
