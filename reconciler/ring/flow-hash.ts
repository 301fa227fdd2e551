import { createHash } from 'node:crypto'
import { addressFamily, addressToBytes } from '../../schemas/address.ts'
import type { HashBy, Protocol } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

/**
 * The hash by which every node of a fleet sends a packet to the same slot of the same ring (rule 4): the
 * mirror of bpf/hash.h, which says how it is made and why. 64 bits.
 */

/** A fleet key's halves, unsigned 64 bits. */
export interface FleetKey {
  readonly k0: bigint
  readonly k1: bigint
}

/** Addresses as text, in any form. */
export interface FlowTuple {
  readonly source: string
  readonly sourcePort: number
  readonly vip: string
  readonly port: number
  readonly protocol: Protocol
}

export const FLEET_KEY_BYTES = 16

const A = 0x9e3779b97f4a7c15n
const B = 0xbf58476d1ce4e5b9n
const C = 0x94d049bb133111ebn
const PROTOCOLS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 }

/** Two little-endian words. Throws `TypeError` on any other length than 16 bytes. */
export function splitFleetKey(bytes: Uint8Array): FleetKey {
  if (bytes.length !== FLEET_KEY_BYTES) {
    throw new TypeError(`a fleet key has ${FLEET_KEY_BYTES} bytes, not ${bytes.length}`)
  }
  const view = viewOf(bytes)
  return { k0: view.getBigUint64(0, true), k1: view.getBigUint64(8, true) }
}

/** For a fleet without a secret: who knows its name can work out which backend a client will get. */
export const fleetKeyFromName = (name: string): Uint8Array =>
  Uint8Array.from(sha256(`ballast fleet key: ${name}`).subarray(0, FLEET_KEY_BYTES))

/** 16 hex digits that tell keys apart without giving one away. */
export const fleetKeyFingerprint = (key: Uint8Array): string => sha256(key).toString('hex').slice(0, 16)

export const flowHash = (key: FleetKey, tuple: FlowTuple): bigint => hashWords(key, flowWords(tuple))

/** The hash whose slot the flow gets: `flowHash`, unless the service has chosen less. */
export function slotHash(key: FleetKey, tuple: FlowTuple, by: HashBy | undefined): bigint {
  if (by === undefined) return flowHash(key, tuple)
  const zero = addressFamily(tuple.vip) === 4 ? '0.0.0.0' : '::'
  const kept = by === 'source' ? { ...tuple, vip: zero } : tuple
  const words = flowWords(kept)
  const end = words.length - 1
  words[end] = words[end]! & (by === 'all-but-source-port' ? ~0xffffn : 0xffn << 40n)
  return hashWords(key, words)
}

function hashWords({ k0, k1 }: FleetKey, words: readonly bigint[]): bigint {
  let hash = k0
  for (const word of words) {
    hash = multiply(hash ^ word, A)
    hash ^= hash >> 32n
  }
  hash = multiply(hash ^ k1, B)
  hash = multiply(hash ^ (hash >> 29n), C)
  return hash ^ (hash >> 32n)
}

/** The ring's slot of a flow: the upper half of its hash, scaled to the number of slots. */
export const slotOf = (hash: bigint): number => Number(((hash >> 32n) * BigInt(RING_SLOTS)) >> 32n)

/** What is hashed, as the little-endian words that the program loads. Both addresses are of one family. */
function flowWords({ source, sourcePort, vip, port, protocol }: FlowTuple): bigint[] {
  const family = addressFamily(vip)
  const addresses = Buffer.concat([addressToBytes(source), addressToBytes(vip)])
  const end = new DataView(new ArrayBuffer(8))
  end.setUint16(0, sourcePort)
  end.setUint16(2, port)
  end.setUint8(4, PROTOCOLS[protocol])
  end.setUint8(5, family)
  const view = viewOf(addresses)
  const words =
    family === 4
      ? [BigInt(view.getUint32(12, true)) | (BigInt(view.getUint32(28, true)) << 32n)]
      : [0, 16, 8, 24].map(at => view.getBigUint64(at, true))
  return [...words, end.getBigUint64(0, true)]
}

const multiply = (a: bigint, b: bigint): bigint => BigInt.asUintN(64, a * b)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const sha256 = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest()
