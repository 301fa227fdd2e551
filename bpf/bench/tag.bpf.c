// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * For tests of VLANs between real hosts, on kernels without VLAN devices: on a
 * router's interfaces, sends IPv4 to 203.0.113.0/24 on with a tag, as the FIB
 * says, and takes the tag off whatever comes with one.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define AF_INET 2
#define TAG_BYTES 4
#define TAG 100
#define VIPS 0xcb007100 /* 203.0.113.0 */
#define VIPS_MASK 0xffffff00

struct tagged {
	struct ethhdr eth;
	__be16 tag;
	__be16 type;
} __attribute__((packed));

static __always_inline int untag(struct xdp_md *ctx)
{
	struct tagged *tagged = (void *)(long)ctx->data;
	struct ethhdr *eth, old;

	if ((void *)(tagged + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	old = tagged->eth;
	old.h_proto = tagged->type;
	if (bpf_xdp_adjust_head(ctx, TAG_BYTES))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*eth = old;
	return XDP_PASS;
}

static __always_inline int forward_tagged(struct xdp_md *ctx, const struct iphdr *ip)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.ifindex = ctx->ingress_ifindex,
		.tot_len = bpf_ntohs(ip->tot_len),
		.ipv4_src = ip->saddr,
		.ipv4_dst = ip->daddr,
	};
	struct tagged *tagged;

	/* The kernel asks for the link address of the next hop. */
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -TAG_BYTES))
		return XDP_DROP;
	tagged = (void *)(long)ctx->data;
	if ((void *)(tagged + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(tagged->eth.h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(tagged->eth.h_source, fib.smac, ETH_ALEN);
	tagged->eth.h_proto = bpf_htons(ETH_P_8021Q);
	tagged->tag = bpf_htons(TAG);
	tagged->type = bpf_htons(ETH_P_IP);
	return bpf_redirect(fib.ifindex, 0);
}

SEC("xdp")
int tag(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_8021Q))
		return untag(ctx);
	if (eth->h_proto != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end ||
	    (ip->daddr & bpf_htonl(VIPS_MASK)) != bpf_htonl(VIPS))
		return XDP_PASS;
	return forward_tagged(ctx, ip);
}
