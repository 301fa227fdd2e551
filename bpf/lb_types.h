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
#define LAYOUT_VERSION 2

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

/*
 * port_ranges: a hash from service_key, whose port is 0, to the services of
 * that VIP and protocol that have more ports than one. Narrow ranges come
 * first, so that "all ports" gets what no other one takes; a service of the
 * exact port comes before them all.
 */
#define PORT_RANGES 32

struct port_range {
	__u16 first; /* in the order of the machine */
	__u16 last;
	struct service service;
};

struct port_ranges {
	__u32 used;
	struct port_range ranges[PORT_RANGES];
};

enum member_flags {
	MEMBER_IPV6 = 1 << 0, /* the outer header is IPv6 */
	/* From the ring's head, of which nothing else must be read then. */
	MEMBER_GUE = 1 << 1,
	MEMBER_GUE_HEADER = 1 << 2, /* and not variant 1, which has no header */
	MEMBER_ACCESS = 1 << 3,	    /* RING_ACCESS */
	MEMBER_L2 = 1 << 4,
	MEMBER_CHECKSUM = 1 << 5, /* of GUE over IPv6 */
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
	ENCAP_L2 = 4,	 /* none: only the link addresses change */
	/* The same as 2 and 3, over IPv6 with a UDP checksum. */
	ENCAP_GUE_SUM = 5,
	ENCAP_GUE_0_SUM = 6,
};

/* What of a packet chooses the slot of its flow; what flow entries are told apart by is always all of it. */
enum hash_by {
	HASH_BY_FLOW = 0,
	HASH_BY_ALL_BUT_SOURCE_PORT = 1,
	HASH_BY_ADDRESSES = 2, /* source and VIP, for all ports and protocols */
	HASH_BY_SOURCE = 3,    /* for all VIPs, ports and protocols */
};

/* What the ring's service has beside; a service that has none of it pays for none of it. */
enum ring_features {
	RING_ACCESS = 1 << 0,	   /* sources are let in by access_list */
	RING_ACCESS_DENY = 1 << 1, /* those in none of its prefixes are not */
	RING_FLOW_LIMIT = 1 << 2,  /* new flows per source prefix are limited */
	RING_QUIC = 1 << 3,	   /* connection ids name the member, by quic_list */
	/* The kernel's load balancer (IPVS) serves it besides: it keeps what it began before this ring came, */
	RING_FROM_IPVS = 1 << 4,
	/* or begins what is new, and this ring keeps what it has. */
	RING_TO_IPVS = 1 << 5,
	RING_HANDOVER = RING_FROM_IPVS | RING_TO_IPVS,
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
	__u8 features;	 /* enum ring_features */
	__be16 end_port; /* of a service with a range of ports, of which key has the first; else 0 */
	/* Of RING_FLOW_LIMIT, else 0: bits of a source that stand for all with the same. */
	__u8 limit_bits4;
	__u8 limit_bits6;
	__u32 limit_rate;  /* new flows per second of one prefix */
	__u32 limit_burst; /* new flows at once, after a pause */
	__u32 access_list; /* of RING_ACCESS, else 0 */
	__u32 quic_list;   /* of RING_QUIC, else 0 */
	__u8 quic_config;  /* the three highest bits of a connection id */
	__u8 quic_bytes;   /* of a server id, 1 to QUIC_SERVER_ID_BYTES */
	__u8 reserved[2];
	struct member members[RING_MEMBERS];
	__u16 slots[RING_SLOTS]; /* index into members, or SLOT_NONE */
	__u8 tail[6];
};

/*
 * flows: an array of buckets, shared by all CPUs: near ones, and after them
 * FAR_PER_NEAR times as many far ones. A flow lives in one near bucket, or in
 * one of two far ones (flow_table.h). In programs of earlier versions all are
 * alike, a power of two, and each flow has two. Entries are read and written
 * without a lock.
 *
 * data: generation (24 bits, the highest) | member index (12) | last packet
 * (24, in FLOW_TICK units of the coarse monotonic clock) | state (4).
 * An empty entry has generation 0.
 *
 * check: tag ^ (data & FLOW_IDENTITY_MASK). An entry whose halves come from
 * two writers matches no flow, unless both name the same member and no harm is
 * done; stamp and state are outside of it, so that one store renews them.
 *
 * half_open: the same for connections of which only a SYN was seen, each in
 * one bucket; see half_open.h. Not there in programs of earlier versions,
 * which have all of these in `flows`.
 */
#define FLOW_WAYS 4
#define FAR_PER_NEAR 4	   /* a power of two */
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
	FLOW_FORGOTTEN = 0, /* no flow's any more; worth nothing */
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

/*
 * Lists: access_prefixes and quic_servers hold the lists of all rings, by a
 * number that the ring names. A list is never changed while a ring names it: a
 * new one is filled, and its number comes with the ring that needs it.
 */

/*
 * access_prefixes: a trie of longest prefixes. An IPv4 address is the first 4
 * bytes of `address`, and `family` keeps it from IPv6.
 */
struct access_key {
	__u32 bits; /* of what follows: ACCESS_LIST_BITS, and those of the prefix */
	__u32 list;
	__u32 family; /* 4, 6 */
	struct address address;
};

#define ACCESS_LIST_BITS 64

struct access_prefix {
	__u32 allow; /* 1: allow, 0: deny */
};

/* quic_servers: a hash from a server id, left-aligned and filled with zeros, to the member. */
#define QUIC_SERVER_ID_BYTES 8

struct quic_server_key {
	__u32 list;
	__u8 server_id[QUIC_SERVER_ID_BYTES];
};

struct quic_server {
	__u32 member; /* index into ring.members */
};

/* flow_limits: an LRU hash; how far the new flows of a source prefix have run ahead of their rate. */
struct flow_limit_key {
	struct address prefix; /* of the source */
	struct service_key service;
};

struct flow_limit {
	__u64 paid_until; /* ns of the monotonic clock */
};

/* fragments: an LRU hash; where the first fragment of a packet went. */
struct fragment_key {
	__u64 source[2]; /* as in struct packet */
	struct address vip;
	__u32 id;	/* identification, as in the header */
	__u32 protocol; /* of what is in fragments */
};

struct fragment {
	__u64 hash;	  /* of the flow */
	__u32 service;	  /* service.id */
	__u32 tick;	  /* when it was seen, as in flow entries */
	__u32 index;	  /* of the member, and */
	__u32 generation; /* 0: the kernel's load balancer has it */
};

/* member_counters: a per-CPU array, by member.counter. */
struct member_counters {
	__u64 packets;
	__u64 bytes;	 /* of the inner IP packet */
	__u64 new_flows; /* flow entries made; a repeated SYN makes its entry again */
};

/* next_hops: a hash from a backend's address, of services with ENCAP_L2. */
struct next_hop {
	__u8 to[6];   /* link address of the backend */
	__u8 from[6]; /* that of the interface */
	__u32 ifindex;
};

/*
 * Why a packet was passed or dropped, or how it was forwarded. The names in
 * lower case, less the prefix, are those of metrics and documents.
 */
enum reason {
	REASON_FORWARDED_FLOW,	    /* to the backend that the flow table names */
	REASON_FORWARDED_RING,	    /* to the backend that the ring names; a flow entry was made */
	REASON_FORWARDED_UNTRACKED, /* to the backend that the ring names; no flow entry could be made */
	REASON_FORWARDED_QUIC,	    /* to the backend that its connection id names */
	REASON_FORWARDED_FRAGMENT, /* a later fragment, to the backend of the first */
	REASON_FORWARDED_ICMP,	   /* an ICMP error, to the backend of the flow that it is about */
	REASON_ANSWERED_ECHO,	   /* an echo request to a VIP */
	REASON_ANSWERED_TOO_BIG, /* would exceed the MTU after encapsulation; the sender was told */
	REASON_FLOW_REHASHED,	 /* counted besides: the entry's member had left the service */
	REASON_FLOW_EVICTED,	 /* counted besides: a live entry was overwritten */
	REASON_FLOW_CONFIRMED, /* counted besides: a connection whose SYN came by here goes on, so it was answered */
	REASON_SYN_EVICTED, /* counted besides: the entry of a SYN that might yet be answered was overwritten */
	REASON_FLOW_MIDWAY, /* counted besides REASON_FORWARDED_RING: the flow was not begun by a SYN */
	REASON_QUIC_UNKNOWN_ID, /* counted besides: a connection id names no backend of the service */
	REASON_EGRESS_UNRESOLVED, /* counted besides: the FIB lacks the link address of the next hop, or the
				   * frame had VLAN tags; the encapsulated packet went to the kernel, which
				   * resolves and forwards */
	REASON_PASS_NOT_IP,    /* ARP and the like, or no whole IP header: to the kernel */
	REASON_PASS_NOT_VIP,   /* or sent to a link-layer group: to the kernel */
	REASON_PASS_NEIGHBOUR, /* neighbour discovery about a VIP: the kernel answers */
	REASON_PASS_UNMATCHED, /* a VIP, but none of its services; passed by configuration */
	REASON_PASS_HANDOVER, /* a flow that the kernel's load balancer keeps, or begins: see ring_features */
	REASON_DROP_UNMATCHED, /* a VIP, but none of its services */
	REASON_DROP_MALFORMED, /* shorter than its headers say */
	REASON_DROP_FRAGMENT, /* of a packet to a VIP: of neither TCP nor UDP, or fragments are not tracked */
	REASON_DROP_FRAGMENT_UNKNOWN, /* a later fragment of a packet whose first was not seen here */
	REASON_DROP_ACCESS,	      /* the service's access list does not let the source in */
	REASON_DROP_FLOW_LIMIT,	      /* a new flow, above the limit of its source prefix */
	REASON_DROP_NO_BACKEND,	      /* every member is drained, or the ring is missing */
	REASON_DROP_TOO_BIG, /* would exceed the MTU after encapsulation, and the sender was not told */
	REASON_DROP_TOO_BIG_NO_DF, /* the same, of a packet that asks for fragments, which are not made */
	REASON_DROP_ICMP_LIMIT,	 /* an echo request, above the limit of answers */
	REASON_DROP_NO_SOURCE,	 /* no outer source address of the member's family */
	REASON_DROP_NO_ROUTE,	 /* egress by FIB, and the FIB has no next hop */
	REASON_DROP_NO_NEXT_HOP, /* L2: the backend's link address is not known */
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
	LIMITED_TRACE, /* by trace_control.rate */
	LIMITED_COUNT,
};

#define LIMIT_PER_TICK 1000

struct limit {
	__u32 tick;
	__u32 used;
};

/* What a packet must have to be told of. */
enum trace_match {
	TRACE_VIP = 1 << 0,
	TRACE_PORT = 1 << 1,
	TRACE_PROTOCOL = 1 << 2,
};

/* trace_control: a variable. Who wants samples writes it again and again. */
struct trace_control {
	__u64 reasons; /* a bit for each enum reason */
	__u32 rate;    /* events per CPU and FLOW_TICK; 0: off */
	__u32 until;   /* FLOW_TICK, of which FLOW_STAMP_BITS count; off from then on */
	struct address vip;
	__u16 first_port; /* in the order of the machine */
	__u16 last_port;
	__u8 protocol;
	__u8 match; /* enum trace_match */
	__u16 zero;
	__u32 lost; /* by the program: events for which the ring buffer had no room */
	__u32 reserved;
};

/* trace_events: a ring buffer. What is not known is 0. */
struct trace_event {
	__u64 time; /* ns of the monotonic clock */
	struct address source;
	struct address vip;
	struct address backend;
	__be16 source_port;
	__be16 port;
	__u32 length;	 /* of the IP packet, as its header says */
	__u32 interface; /* index of that of arrival */
	__u8 family;
	__u8 protocol;
	__u8 reason; /* enum reason */
	__u8 action; /* enum xdp_action */
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
	LB_FRAGMENTS_DROP = 1 << 2,
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
	__u32 near_buckets;	  /* of flows, a power of two; see FAR_PER_NEAR */
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
	__u32 half_open_buckets; /* a power of two, at most 2^HALF_OPEN_BITS */
	__u32 reserved;
};

_Static_assert(sizeof(struct service_key) == 20, "service_key");
_Static_assert(sizeof(struct port_ranges) == 4 + 8 * PORT_RANGES, "port_ranges");
_Static_assert(sizeof(struct access_key) == 28, "access_key");
_Static_assert(sizeof(struct quic_server_key) == 12, "quic_server_key");
_Static_assert(sizeof(struct flow_limit_key) == 36, "flow_limit_key");
_Static_assert(sizeof(struct fragment_key) == 40, "fragment_key");
_Static_assert(sizeof(struct member) == 32, "member");
_Static_assert(sizeof(struct ring) == 64 + 32 * RING_MEMBERS + 2 * RING_SLOTS + 6, "ring");
_Static_assert(sizeof(struct flow_bucket) == 64, "flow_bucket: one cache line");
_Static_assert(sizeof(struct control) == 16, "control");
_Static_assert(sizeof(struct trace_control) == 48, "trace_control");
_Static_assert(sizeof(struct trace_event) == 72, "trace_event");
_Static_assert(sizeof(struct lb_config) == 168, "lb_config");

#endif
