/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which backend a QUIC connection id names, after the plaintext form of
 * draft-ietf-quic-load-balancers: config id (3 bits), length or anything (5
 * bits), server id, nonce. docs/quic.md tells authors of servers.
 *
 * Only packets with a short header are looked at, which are the same in all
 * versions (RFC 8999): they come after the handshake, from whatever address
 * the client has by then. Those with a long header go by their flow, since in
 * the first of them the client has chosen the id.
 */
#ifndef BALLAST_QUIC_H
#define BALLAST_QUIC_H

#include "maps.h"
#include "parse.h"

#define QUIC_LONG_HEADER 0x80
#define QUIC_CONFIG_SHIFT 5

/* No packet with a short header is shorter: its id, a packet number and 16 bytes of authentication. */
#define QUIC_LEAST (2 + QUIC_SERVER_ID_BYTES)

#define QUIC_BY_FLOW 0xffffffff

/*
 * The index into ring->members that a UDP packet's connection id names, for a
 * ring with RING_QUIC; QUIC_BY_FLOW: none. bytes: of the frame. See may_enter
 * for why it is global.
 */
__noinline __u32 quic_member(struct xdp_md *ctx, const struct ring *ring, __u32 bytes)
{
	struct service_key flow __attribute__((aligned(8))) = {};
	struct packet packet = {};
	struct cursor cursor = frame_cursor(ctx);
	struct quic_server_key key = {};
	struct quic_server *server;
	__u64 server_id;
	__u8 *quic;

	if (!ring || parse_packet(&cursor, &flow, &packet) != REASON_NONE)
		return QUIC_BY_FLOW;
	quic = cursor.at + sizeof(struct udphdr);
	if ((void *)quic + QUIC_LEAST > cursor.end)
		return QUIC_BY_FLOW;
	if (quic[0] & QUIC_LONG_HEADER || quic[1] >> QUIC_CONFIG_SHIFT != ring->quic_config)
		return QUIC_BY_FLOW;
	server_id = load64(quic + 2);
	server_id &= ~0ULL >> ((QUIC_SERVER_ID_BYTES - ring->quic_bytes) * 8 & 63);
	key.list = ring->quic_list;
	__builtin_memcpy(key.server_id, &server_id, sizeof(server_id));
	server = bpf_map_lookup_elem(&quic_servers, &key);
	if (server && server->member < RING_MEMBERS && ring->members[server->member].generation)
		return server->member;
	count_reason(REASON_QUIC_UNKNOWN_ID, bytes);
	return QUIC_BY_FLOW;
}

#endif
