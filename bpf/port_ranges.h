/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The service of a packet: that of its very port, else the one with the narrowest range that has it. */
#ifndef BALLAST_PORT_RANGES_H
#define BALLAST_PORT_RANGES_H

#include "maps.h"
#include "parse.h"

#define SERVICE_NONE 0xffffffff

/* The narrowest range that has the port, or SERVICE_NONE. The key is as it was when this returns. */
static __always_inline __u32 ranged_service(struct service_key *key)
{
	struct port_ranges *ranges;
	__be16 wanted = key->port;
	__u16 port = bpf_ntohs(wanted);

	key->port = 0;
	ranges = bpf_map_lookup_elem(&port_ranges, key);
	key->port = wanted;
	if (!ranges)
		return SERVICE_NONE;
	for (__u32 i = 0; i < PORT_RANGES && i < ranges->used; i++) {
		const struct port_range *range = &ranges->ranges[i];

		if (port >= range->first && port <= range->last)
			return range->service.id;
	}
	return SERVICE_NONE;
}

#endif
