/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * L2 DSR: the packet goes to the backend as it is, in a frame with the
 * backend's link address. Those are in next_hops, which user space keeps
 * after the kernel's neighbour table. A backend that is not there gets no new
 * flow: in place of a slot that names it the flow takes the next one in a walk
 * of its own, the same on every node that lacks the same backends.
 */
#ifndef BALLAST_NEXT_HOP_H
#define BALLAST_NEXT_HOP_H

#include "hash.h"
#include "maps.h"

/* After that many slots there is no backend: 1 in 30,000 flows while half of them lack their link address. */
#define SLOTS_TRIED 16

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

static __noinline __u32 reachable_member(struct ring *ring, __u64 hash)
{
	for (int tried = 0; tried < SLOTS_TRIED; tried++) {
		__u32 index = ring->slots[ring_slot(hash)];

		if (index < RING_MEMBERS &&
		    bpf_map_lookup_elem(&next_hops, &ring->members[index].address))
			return index;
		hash = finish(hash + 1);
	}
	return SLOT_NONE;
}

/* The member of a slot; may be beyond RING_MEMBERS, and may be free. */
static __always_inline __u32 slot_member(struct ring *ring, __u64 hash)
{
	if (ring->encapsulation == ENCAP_L2)
		return reachable_member(ring, hash);
	return ring->slots[ring_slot(hash)];
}

#endif
