/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the decapsulator of a backend and user space both see; the TypeScript
 * side is reconciler/drivers/xdp/decap-layout.ts. Addresses as in lb_types.h.
 */
#ifndef BALLAST_DECAP_TYPES_H
#define BALLAST_DECAP_TYPES_H

#include <linux/types.h>

#include "lb_types.h"

/* vips, allowed: tries of prefixes. bits: of the 16 bytes; 96 more than those of an IPv4 prefix. */
struct prefix {
	__u32 bits;
	struct address address;
};

/*
 * What became of a frame. The names in lower case, less DECAP_, are those of
 * `ballast decap status` and of documents.
 */
enum decap_reason {
	DECAP_IPIP,	  /* IP in IP, taken off; the inner packet went to the kernel */
	DECAP_GUE,	  /* GUE variant 1, the same */
	DECAP_GUE_0,	  /* GUE variant 0, the same */
	DECAP_PASS_OTHER, /* not what a balancer sends: to the kernel, untouched */
	DECAP_PASS_SOURCE, /* encapsulated, and not by an allowed load balancer: to the kernel, untouched */
	DECAP_DROP_VIP, /* from a load balancer, and the inner destination is no VIP of this backend */
	DECAP_DROP_MALFORMED,  /* from a load balancer, and shorter than its headers say */
	DECAP_DROP_CONGESTION, /* congestion was met, and the packet cannot say so (RFC 6040) */
	DECAP_REASON_COUNT,
};

_Static_assert(sizeof(struct prefix) == 20, "prefix");

#endif
