/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that the program and user space both see: map keys, map values,
 * the constants of a loaded program, the names of counters.
 *
 * The TypeScript side is reconciler/drivers/xdp/layout.ts; a test compares it
 * with the BTF of the object that this header was compiled into.
 *
 * Addresses are 16 bytes in network byte order; an IPv4 address is written as
 * its IPv4-mapped IPv6 address, ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
 */
#ifndef BALLAST_LB_TYPES_H
#define BALLAST_LB_TYPES_H

#include <linux/types.h>

/* Of the pinned maps; a program refuses maps of another version. */
#define LAYOUT_VERSION 1

#define RING_SLOTS 65537 /* prime, as Maglev needs */
#define RING_MEMBERS 1024
#define SLOT_NONE 0xffff /* every member is drained: nowhere to send */

struct address {
	__u8 bytes[16];
};

/* vips: a hash; an address that Ballast serves on at least one port. */
struct vip {
	__u32 services; /* how many services use it */
};

/* services: a hash from service_key to service. */
struct service_key {
	struct address vip;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 zero;
};

struct service {
	__u32 id; /* index into rings */
};

enum member_flags {
	MEMBER_IPV6 = 1 << 0, /* the outer header is IPv6 */
	/* From the ring's encapsulation, of which nothing else must be read then. */
	MEMBER_GUE = 1 << 1,
	MEMBER_GUE_HEADER = 1 << 2, /* and not variant 1, which has no header */
};

struct member {
	struct address address;
	__u32 generation; /* of this assignment of this index, unique on this node; 24 bits; 0: free */
	__u32 counter;	  /* index into member_counters */
	__u32 weight;	  /* effective; 0: drained, keeps its flows, has no slot */
	enum member_flags flags;
};

enum encapsulation {
	ENCAP_IPIP = 1,	 /* 4in4, 6in6, 4in6: protocol 4 (RFC 2003) or 41 (RFC 2473) */
	ENCAP_GUE = 2,	 /* UDP, and directly in it the IP packet: GUE's variant 1 */
	ENCAP_GUE_0 = 3, /* UDP, a header of 4 bytes, the IP packet: variant 0 */
};

/* What of a packet chooses the slot of its flow; what flow entries are told apart by is always all of it. */
enum hash_by {
	HASH_BY_FLOW = 0,
	HASH_BY_ALL_BUT_SOURCE_PORT = 1,
	HASH_BY_ADDRESSES = 2, /* source and VIP, for all ports and protocols */
	HASH_BY_SOURCE = 3,    /* for all VIPs, ports and protocols */
};

/*
 * rings: an array of maps, service.id to an array of one struct ring. A ring
 * is filled aside, frozen and swapped in by one update of the outer map, so a
 * packet sees the old service or the new one, never half of each.
 */
struct ring {
	__u32 generation; /* counts the swaps of this service */
	enum encapsulation encapsulation;
	__u32 members_used; /* members[] beyond it are free */
	__u32 idle_timeout; /* seconds without a packet after which a UDP flow is forgotten */
	struct service_key key;
	__be16 gue_port; /* destination port of GUE; 0 for other encapsulations */
	__u8 hash_by;	 /* enum hash_by */
	__u8 reserved[25];
	struct member members[RING_MEMBERS];
	__u16 slots[RING_SLOTS]; /* index into members, or SLOT_NONE */
	__u8 tail[6];
};

/*
 * flows: an array of buckets, shared by all CPUs. A flow lives in one of two
 * candidate buckets. Entries are read and written without a lock.
 *
 * data: generation (24 bits, the highest) | member index (12) | last packet
 * (24, in FLOW_TICK units of the coarse monotonic clock) | state (4).
 * An empty entry has generation 0.
 *
 * check: tag ^ (data & FLOW_IDENTITY_MASK). An entry whose halves come from
 * two writers matches no flow, unless both name the same member and no harm is
 * done; stamp and state are outside of it, so that one store renews them.
 */
#define FLOW_WAYS 4
#define FLOW_TICK_SHIFT 30 /* nanoseconds >> 30: 1.07 s */
#define FLOW_STATE_SHIFT 0
#define FLOW_STATE_BITS 4
#define FLOW_STAMP_SHIFT 4
#define FLOW_STAMP_BITS 24
#define FLOW_INDEX_SHIFT 28
#define FLOW_INDEX_BITS 12
#define FLOW_GENERATION_SHIFT 40
#define FLOW_GENERATION_BITS 24
#define FLOW_IDENTITY_MASK (~0ULL << FLOW_INDEX_SHIFT)

enum flow_state {
	FLOW_SYN = 1,	    /* TCP: only a SYN was seen */
	FLOW_CONFIRMED = 2, /* TCP: more than a SYN was seen */
	FLOW_FIN = 3,	    /* TCP: a FIN or RST was seen */
	FLOW_UDP = 4,
};

/*
 * Idle time in ticks after which an entry may be taken by another flow. A UDP
 * flow has forgotten its own entry after the ring's idle_timeout, but others
 * do not see which ring that is, and go by FLOW_UDP_TICKS.
 */
#define FLOW_SYN_TICKS 60
#define FLOW_CONFIRMED_TICKS 7200
#define FLOW_FIN_TICKS 30
#define FLOW_UDP_TICKS 300

struct flow {
	__u64 check;
	__u64 data;
};

struct flow_bucket {
	struct flow ways[FLOW_WAYS];
} __attribute__((aligned(64)));

/* member_counters: a per-CPU array, by member.counter. */
struct member_counters {
	__u64 packets;
	__u64 bytes;	 /* of the inner IP packet */
	__u64 new_flows; /* flow entries made; a repeated SYN makes its entry again */
};

/*
 * Why a packet was passed or dropped, or how it was forwarded. The names in
 * lower case, less the prefix, are those of metrics and documents.
 */
enum reason {
	REASON_FORWARDED_FLOW,	    /* to the backend that the flow table names */
	REASON_FORWARDED_RING,	    /* to the backend that the ring names; a flow entry was made */
	REASON_FORWARDED_UNTRACKED, /* to the backend that the ring names; no flow entry could be made */
	REASON_FORWARDED_ICMP,	    /* an ICMP error, to the backend of the flow that it is about */
	REASON_ANSWERED_ECHO,	    /* an echo request to a VIP */
	REASON_ANSWERED_TOO_BIG, /* would exceed the MTU after encapsulation; the sender was told */
	REASON_FLOW_REHASHED,	 /* counted besides: the entry's member had left the service */
	REASON_FLOW_EVICTED,	 /* counted besides: a live entry was overwritten */
	REASON_EGRESS_UNRESOLVED, /* counted besides: the FIB lacks the link address of the next hop, or the
				   * frame had VLAN tags; the encapsulated packet went to the kernel, which
				   * resolves and forwards */
	REASON_PASS_NOT_IP,	/* ARP and the like, or no whole IP header: to the kernel */
	REASON_PASS_NOT_VIP,	/* or sent to a link-layer group: to the kernel */
	REASON_PASS_NEIGHBOUR,	/* neighbour discovery about a VIP: the kernel answers */
	REASON_PASS_UNMATCHED,	/* a VIP, but none of its services; passed by configuration */
	REASON_DROP_UNMATCHED,	/* a VIP, but none of its services */
	REASON_DROP_MALFORMED,	/* shorter than its headers say */
	REASON_DROP_FRAGMENT,	/* of a packet to a VIP */
	REASON_DROP_NO_BACKEND, /* every member is drained, or the ring is missing */
	REASON_DROP_TOO_BIG, /* would exceed the MTU after encapsulation, and the sender was not told */
	REASON_DROP_TOO_BIG_NO_DF, /* the same, of a packet that asks for fragments, which are not made */
	REASON_DROP_ICMP_LIMIT, /* an echo request, above the limit of answers */
	REASON_DROP_NO_SOURCE,	/* no outer source address of the member's family */
	REASON_DROP_NO_ROUTE,	/* egress by FIB, and the FIB has no next hop */
	REASON_COUNT,
};

/* reason_counters: a per-CPU array, by enum reason. */
struct reason_counters {
	__u64 packets;
	__u64 bytes; /* of the frame as it arrived, less VLAN tags */
};

/*
 * limits: a per-CPU array, by enum limited. What the balancer itself says, per CPU and FLOW_TICK;
 * how often it may be made to.
 */
enum limited {
	LIMITED_ECHO,
	LIMITED_TOO_BIG,
	LIMITED_COUNT,
};

#define LIMIT_PER_TICK 1000

struct limit {
	__u32 tick;
	__u32 used;
};

/*
 * control: an array of one, for user space alone. It outlives the worker, as
 * all pinned maps do, and keeps what must never restart.
 */
struct control {
	__u32 layout_version;
	__u32 next_generation; /* of members; only grows */
	__u64 bucket_key;      /* see lb_config.bucket_key */
};

enum lb_flags {
	LB_UNMATCHED_PASS = 1 << 0,
	LB_EGRESS_FIB = 1 << 1,
};

/*
 * What does not change while a program is loaded: constants of the program
 * (.rodata), so that the verifier removes what is not used. A change loads a new program,
 * which takes over maps and link in one update.
 */
struct lb_config {
	__u64 fleet_key[2]; /* of the ring's hash, the same on all nodes */
	__u64 bucket_key;   /* of the flow table, random per boot */
	enum lb_flags flags;
	__u32 mtu;		  /* of the outer packet, in bytes */
	__u32 flow_buckets;	  /* a power of two */
	__be32 source4;		  /* outer source prefix; 0: none */
	__be32 source4_host_mask; /* bits that vary with the flow */
	__u32 has_source6;
	struct address source6;
	struct address source6_host_mask;
	char fleet[64]; /* name, zero-terminated; for those who look */
	/* What the maps were asked to hold, for those who look; their sizes follow from it. */
	__u32 capacity_flows;
	__u32 capacity_services;
	__u32 capacity_members;
	__u32 object; /* first 4 bytes of the SHA-256 of the object file; another one is another program */
};

_Static_assert(sizeof(struct service_key) == 20, "service_key");
_Static_assert(sizeof(struct member) == 32, "member");
_Static_assert(sizeof(struct ring) == 64 + 32 * RING_MEMBERS + 2 * RING_SLOTS + 6, "ring");
_Static_assert(sizeof(struct flow_bucket) == 64, "flow_bucket: one cache line");
_Static_assert(sizeof(struct control) == 16, "control");
_Static_assert(sizeof(struct lb_config) == 160, "lb_config");

#endif
