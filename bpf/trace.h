/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Samples of what becomes of packets, for `ballast trace`. Off by default, when
 * it costs one load and one branch; limited in rate; and it ends by itself
 * when whoever asked no longer says that he is there.
 *
 * A packet is told of after the fact: of one that was encapsulated, the outer
 * header says which backend, and what was inside stands behind it.
 */
#ifndef BALLAST_TRACE_H
#define BALLAST_TRACE_H

#include "icmp.h"

/* One writer in user space. In .bss, which every program has for itself. */
volatile struct trace_control trace_control;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} trace_events SEC(".maps");

_Static_assert(REASON_COUNT <= 64, "a bit for every reason");

static __always_inline bool trace_is_on(void)
{
	return trace_control.rate != 0;
}

/* The asker has to come again before trace_control.until. */
static __always_inline bool trace_expired(void)
{
	__u32 left = trace_control.until - flow_now();

	return left & 1 << (FLOW_STAMP_BITS - 1);
}

static __always_inline bool may_trace(void)
{
	__u32 index = LIMITED_TRACE, tick = flow_now();
	struct limit *limit = bpf_map_lookup_elem(&limits, &index);

	if (!limit)
		return false;
	if (limit->tick != tick) {
		limit->tick = tick;
		limit->used = 0;
	}
	return limit->used++ < trace_control.rate;
}

/* A function of its own, so that the object's BTF has the event. */
static __noinline bool is_asked_for(const struct trace_event *event)
{
	const volatile word64 *vip = (const volatile word64 *)trace_control.vip.bytes;
	const word64 *own = (const word64 *)event->vip.bytes;
	__u32 port = bpf_ntohs(event->port);

	if (!(trace_control.reasons >> (event->reason & 63) & 1))
		return false;
	if (trace_control.match & TRACE_VIP && (own[0] != vip[0] || own[1] != vip[1]))
		return false;
	if (trace_control.match & TRACE_PORT &&
	    (port < trace_control.first_port || port > trace_control.last_port))
		return false;
	return !(trace_control.match & TRACE_PROTOCOL) || event->protocol == trace_control.protocol;
}

static __always_inline void store_ipv4(struct address *address, const void *from)
{
	word32 *words = (word32 *)address->bytes;

	words[0] = words[1] = 0;
	words[2] = 0xffff0000;
	words[3] = load32(from);
}

static __always_inline void store_ports(struct trace_event *event, const void *at, const void *end)
{
	__u32 ports;

	if ((event->protocol != IPPROTO_TCP && event->protocol != IPPROTO_UDP) || at + 4 > end)
		return;
	ports = load32(at);
	event->source_port = ports;
	event->port = ports >> 16;
}

/* Of the IP packet at `at`, or none of it. */
static __always_inline void describe_packet(struct trace_event *event, void *at, void *end)
{
	struct iphdr *ipv4 = at;
	struct ipv6hdr *ipv6 = at;

	if ((void *)(ipv4 + 1) > end)
		return;
	if (ipv4->version == 4) {
		event->family = 4;
		event->protocol = ipv4->protocol;
		event->length = bpf_ntohs(ipv4->tot_len);
		store_ipv4(&event->source, &ipv4->saddr);
		store_ipv4(&event->vip, &ipv4->daddr);
		if (!(ipv4->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET)))
			store_ports(event, at + ipv4->ihl * 4, end);
	} else if (ipv4->version == 6 && (void *)(ipv6 + 1) <= end) {
		event->family = 6;
		event->protocol = ipv6->nexthdr;
		event->length = sizeof(*ipv6) + bpf_ntohs(ipv6->payload_len);
		__builtin_memcpy(event->source.bytes, &ipv6->saddr, sizeof(event->source));
		__builtin_memcpy(event->vip.bytes, &ipv6->daddr, sizeof(event->vip));
		store_ports(event, ipv6 + 1, end);
	}
}

/* Of the outer header. */
static __always_inline void describe_backend(struct trace_event *event, void *at, void *end)
{
	struct iphdr *ipv4 = at;
	struct ipv6hdr *ipv6 = at;

	if ((void *)(ipv4 + 1) > end)
		return;
	if (ipv4->version == 4)
		store_ipv4(&event->backend, &ipv4->daddr);
	else if ((void *)(ipv6 + 1) <= end)
		__builtin_memcpy(event->backend.bytes, &ipv6->daddr, sizeof(event->backend));
}

static __always_inline void swap_ends(struct trace_event *event)
{
	struct address address = event->source;

	event->source = event->vip;
	event->vip = address;
}

/* Bytes between the Ethernet header and the packet that the frame is about. grown: by how much it is longer now. */
static __always_inline __u32 packet_offset(__u32 reason, __s32 grown, __u8 version)
{
	if (reason == REASON_ANSWERED_TOO_BIG)
		return sizeof(struct icmp_header) +
		       (version == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	return grown > 0 ? grown & 63 : 0;
}

/*
 * outcome: reason, and the action in the next byte. bytes: of the frame as it
 * came. member: of a packet that keeps its form, NULL if there is none. A
 * global function: the verifier looks at it once.
 */
__noinline int trace_packet(struct xdp_md *ctx, __u32 outcome, __u32 bytes, struct member *member)
{
	void *at = (void *)(long)ctx->data + ETH_HLEN;
	void *end = (void *)(long)ctx->data_end;
	__u32 reason = outcome & 0xff, interface = ctx->ingress_ifindex;
	__s32 grown = (__s32)(ctx->data_end - ctx->data) - (__s32)bytes;
	struct trace_event *event;

	if (trace_expired()) {
		trace_control.rate = 0;
		return 0;
	}
	event = bpf_ringbuf_reserve(&trace_events, sizeof(*event), 0);
	if (!event) {
		trace_control.lost++;
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_ns();
	event->interface = interface;
	event->reason = reason;
	event->action = outcome >> 8;
	if (at + 1 <= end)
		describe_packet(event, at + packet_offset(reason, grown, *(__u8 *)at >> 4), end);
	if (reason == REASON_ANSWERED_ECHO)
		swap_ends(event);
	else if (reason != REASON_ANSWERED_TOO_BIG && grown > 0)
		describe_backend(event, at, end);
	else if (reason != REASON_ANSWERED_TOO_BIG && member && event->action != XDP_DROP)
		event->backend = member->address;
	if (is_asked_for(event) && may_trace())
		bpf_ringbuf_submit(event, 0);
	else
		bpf_ringbuf_discard(event, 0);
	return 0;
}

/* At the end of every packet's way. */
static __always_inline void trace(struct xdp_md *ctx, struct verdict verdict, __u32 bytes,
				  struct member *member)
{
	if (trace_is_on())
		trace_packet(ctx, verdict.reason | verdict.action << 8, bytes, member);
}

#endif
