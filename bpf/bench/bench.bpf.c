// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Gives packets to an XDP program that knows nothing of it, and lets
 * test/bench-xdp time how long that takes.
 *
 * bpf_prog_test_run with `repeat` leaves the packet as the run before made it;
 * from the second run on an encapsulating program would see something else. So
 * one run of `drive` is PACKETS_PER_RUN packets: each is written anew, given
 * to the program by a tail call from a function, which returns here, and cut
 * or grown to its first length.
 *
 * Before the call an atomic addition waits for the packet's stores: a header
 * that comes from a network card is not in the CPU's store buffer either.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define FRAME_WORDS 12
#define PACKETS_PER_RUN 32
#define PORTS_PER_CLIENT 64
#define FIRST_PORT 20000
#define NO_PROGRAM 7

/* Offsets in the frame. */
#define IPV4_SOURCE 26
#define IPV4_PORT 34
#define IPV6_SOURCE_END 34
#define IPV6_PORT 54

/* What user space asks for; see test/bench-xdp/drive.ts, which writes it. */
struct plan {
	__u64 frame[FRAME_WORDS];
	__u32 ipv6;
	__u32 flow; /* number of the next packet's flow */
	__u32 flow_mask;
	__u32 multiplier; /* flow = flow * multiplier + increment */
	__u32 increment;
	__u64 actions[8];
	__u64 failed;
	__u64 fence;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

static __noinline int run_program(struct xdp_md *ctx)
{
	int action = NO_PROGRAM;

	bpf_tail_call(ctx, &programs, 0);
	asm volatile("" : "+r"(action));
	return action;
}

static __always_inline int write_packet(struct xdp_md *ctx, struct plan *plan)
{
	__u64 *words = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 flow = plan->flow & plan->flow_mask;
	__be32 source;
	__be16 port;

	plan->flow = plan->flow * plan->multiplier + plan->increment;
	if ((void *)(words + FRAME_WORDS) > end)
		return -1;
#pragma unroll
	for (int word = 0; word < FRAME_WORDS; word++)
		words[word] = plan->frame[word];
	source = bpf_htonl(0x0b000000 | flow / PORTS_PER_CLIENT);
	port = bpf_htons(FIRST_PORT + flow % PORTS_PER_CLIENT * 331);
	if (plan->ipv6) {
		*(__u32 *)((void *)words + IPV6_SOURCE_END) = source;
		*(__u16 *)((void *)words + IPV6_PORT) = port;
	} else {
		*(__u32 *)((void *)words + IPV4_SOURCE) = source;
		*(__u16 *)((void *)words + IPV4_PORT) = port;
	}
	return 0;
}

/* Lets the frame be as long as it was. */
static __always_inline int restore_length(struct xdp_md *ctx)
{
	long grown = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	asm volatile("" : "+r"(grown));
	grown -= FRAME_WORDS * 8;
	return grown ? bpf_xdp_adjust_head(ctx, grown) : 0;
}

SEC("xdp")
int drive(struct xdp_md *ctx)
{
	__u32 first = 0;
	struct plan *plan = bpf_map_lookup_elem(&plans, &first);

	if (!plan)
		return XDP_ABORTED;
	for (int packet = 0; packet < PACKETS_PER_RUN; packet++) {
		if (write_packet(ctx, plan))
			goto failed;
		__sync_fetch_and_add(&plan->fence, 1);
		plan->actions[run_program(ctx) & 7]++;
		if (restore_length(ctx))
			goto failed;
	}
	return XDP_PASS;
failed:
	plan->failed++;
	return XDP_ABORTED;
}

/* The floor of everything. */
SEC("xdp")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

/* Two calls that undo each other: half of what it costs is what restore_length costs. */
SEC("xdp")
int grow_and_shrink(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -20) || bpf_xdp_adjust_head(ctx, 20))
		return XDP_ABORTED;
	return XDP_TX;
}

/* The floor of encapsulation: always the same 34 bytes, whatever the packet. */
SEC("xdp")
int cheapest_encapsulation(struct xdp_md *ctx)
{
	__u64 *words;

	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_ABORTED;
	words = (void *)(long)ctx->data;
	if ((void *)words + 34 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	words[0] = 0x0002010000000002;
	words[1] = 0x0045000802000000;
	words[2] = 0x0440004000006800;
	words[3] = 0x090a0100400a0000;
	*(__u16 *)(words + 4) = 0x0100;
	return XDP_TX;
}
