/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The one hash of a flow, 64 bits: it names the slot of the ring, the tag of
 * the flow entry, the buckets that may hold it and what varies in the outer
 * header. The same on every node of a fleet; reconciler/ring/flow-hash.ts is
 * its mirror.
 *
 * Words, 8 bytes each, loaded little-endian from the header:
 *
 *   IPv4: source and VIP
 *   IPv6: source 0-7, VIP 0-7, source 8-15, VIP 8-15
 *   both: source port (2), destination port (2), protocol (1), family (1), 0 (2)
 *
 *   h = k0; for each word w: h = (h ^ w) * A; h ^= h >> 32
 *   h ^= k1; h *= B; h ^= h >> 29; h *= C; h ^= h >> 32
 *
 * Multiplication carries upwards, the shift brings it down again. Every step
 * can be inverted, so two flows that differ in one word never collide. The
 * VIP's words stand between the source's, because flipping the highest bit of
 * a word flips known bits after it: who chooses the next word too could undo
 * that without knowing the key.
 */
#ifndef BALLAST_HASH_H
#define BALLAST_HASH_H

#include "parse.h"

#define HASH_A 0x9e3779b97f4a7c15ULL
#define HASH_B 0xbf58476d1ce4e5b9ULL
#define HASH_C 0x94d049bb133111ebULL

static __always_inline __u64 absorb(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * HASH_A;
	return hash ^ hash >> 32;
}

static __always_inline __u64 finish(__u64 hash)
{
	hash *= HASH_B;
	hash ^= hash >> 29;
	hash *= HASH_C;
	return hash ^ hash >> 32;
}

/* What is hashed, as words. IPv4 has source and VIP in source[0], and only that. */
struct hashed {
	__u64 source[2];
	__u64 vip[2];
	__u64 end; /* ports, protocol, family */
	bool ipv6;
};

static __always_inline struct hashed hashed_words(const struct service_key *key,
						  const struct packet *packet)
{
	const word64 *vip = (const word64 *)key->vip.bytes;

	return (struct hashed){
		.source = { packet->source[0], packet->source[1] },
		.vip = { vip[0], vip[1] },
		.end = packet->ports | (__u64)key->protocol << 32 | (__u64)packet->family << 40,
		.ipv6 = packet->family == 6,
	};
}

static __always_inline __u64 hash_words(const volatile __u64 fleet_key[2], struct hashed words)
{
	__u64 hash = absorb(fleet_key[0], words.source[0]);

	if (words.ipv6) {
		hash = absorb(hash, words.vip[0]);
		hash = absorb(hash, words.source[1]);
		hash = absorb(hash, words.vip[1]);
	}
	return finish(absorb(hash, words.end) ^ fleet_key[1]);
}

static __always_inline __u64 flow_hash(const volatile __u64 fleet_key[2],
				       const struct service_key *key, const struct packet *packet)
{
	return hash_words(fleet_key, hashed_words(key, packet));
}

/* The same of a part of the packet, what is left out being 0: of flows that are to share a slot. */
static __always_inline __u64 slot_hash(const volatile __u64 fleet_key[2],
				       const struct service_key *key, const struct packet *packet,
				       enum hash_by by)
{
	struct hashed words = hashed_words(key, packet);

	if (by == HASH_BY_ALL_BUT_SOURCE_PORT) {
		words.end &= ~0xffffULL;
	} else {
		words.end &= 0xffULL << 40;
		if (by == HASH_BY_SOURCE) {
			words.vip[0] = words.vip[1] = 0;
			if (!words.ipv6)
				words.source[0] &= 0xffffffff;
		}
	}
	return hash_words(fleet_key, words);
}

/* The upper half, scaled to RING_SLOTS: as even as a remainder, and no division. */
static __always_inline __u32 ring_slot(__u64 hash)
{
	return (hash >> 32) * RING_SLOTS >> 32;
}

/*
 * The flow's buckets: the near one's number in the upper half, the far one's in
 * the lower. Keyed, so that who knows the fleet key cannot fill one.
 */
static __always_inline __u64 bucket_hash(__u64 hash, __u64 bucket_key)
{
	return finish(hash ^ bucket_key);
}

#endif
