import { createHash } from 'node:crypto'

/** How what is Ballast's is called in BIRD, whose names are letters, digits and `_`, at most 64. */

export const ROUTES4 = 'ballast_static4'
export const ROUTES6 = 'ballast_static6'
export const TABLE4 = 'ballast4'
export const TABLE6 = 'ballast6'
export const BFD = 'ballast_bfd'
/** A constant with the digest of the file: what BIRD runs can be told from it. */
export const CONFIG = 'BALLAST_CONFIG'
/** An attribute of routes, which BIRD never sends: to whom they go. */
export const PEERS = 'ballast_peers'
/** Names of manifests have no `_`: no two have the same protocol. */
export const protocolOf = (peer: string): string => `ballast_${peer.replaceAll('-', '_')}`

/**
 * What stands for a peer in `ballast_peers`, three numbers of 32 bits. It depends on the name alone, so that an
 * export filter never changes: BIRD does not run a changed one again for routes that it sent.
 */
export function markOf(peer: string): readonly [number, number, number] {
  const hash = createHash('sha256').update(peer).digest()
  return [hash.readUInt32BE(0), hash.readUInt32BE(4), hash.readUInt32BE(8)]
}
