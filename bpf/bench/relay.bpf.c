// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What `npm run bench:compare` needs around a load balancer. `relay` makes
 * frames of the packets of the kernel's generator and hands them on, as the
 * driver of a network card hands on what it receives; `discard` drops, `bounce`
 * does the least that a load balancer could do.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 target = 0; /* index of the interface to hand on to */

SEC("xdp")
int relay(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_redirect(target, 0);
}

SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

SEC("xdp")
int discard(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}
