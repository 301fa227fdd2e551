// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Passes everything. A veth device accepts what its peer sends with XDP_TX or
 * by redirect only while it has a program of its own; this one will do.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
