import { addressFromBytes } from '../../../schemas/address.ts'
import type { FlowLimit, Gue, HashBy, Protocol, XdpServiceRow } from '../../../schemas/node-state.ts'
import { RING_SLOTS } from '../../../schemas/ring-limits.ts'
import { identify } from '../../ring/identity.ts'
import { createTextMemo } from '../../ring/text-memo.ts'
import { decodeEncapsulation, encodeEncapsulation, memberFlagsOf } from './encapsulation.ts'
import { decodeFeatures, encodeFeatures } from './ring-features.ts'

/**
 * What the program and user space both see, as bpf/lb_types.h lays it out; a test compares the two. Host
 * byte order is little-endian everywhere that this runs; addresses and ports are in network byte order.
 */
export const LAYOUT_VERSION = 2

export const RING_MEMBERS = 1024
export const GENERATION_BITS = 24
export const FLOW_WAYS = 4
export const FAR_PER_NEAR = 4
/** Of half_open.h: bits that name the bucket of a SYN, the highest of 64. */
export const HALF_OPEN_BITS = 16
export const PORT_RANGES = 32

/** Offsets and sizes in bytes. */
export const structs = {
  vip: { size: 4, fields: { services: 0 } },
  service_key: { size: 20, fields: { vip: 0, port: 16, protocol: 18, zero: 19 } },
  service: { size: 4, fields: { id: 0 } },
  port_range: { size: 8, fields: { first: 0, last: 2, service: 4 } },
  port_ranges: { size: 4 + 8 * PORT_RANGES, fields: { used: 0, ranges: 4 } },
  member: { size: 32, fields: { address: 0, generation: 16, counter: 20, weight: 24, flags: 28 } },
  ring: {
    size: 64 + 32 * RING_MEMBERS + 2 * RING_SLOTS + 6,
    fields: {
      generation: 0,
      encapsulation: 4,
      members_used: 8,
      idle_timeout: 12,
      key: 16,
      gue_port: 36,
      hash_by: 38,
      features: 39,
      end_port: 40,
      limit_bits4: 42,
      limit_bits6: 43,
      limit_rate: 44,
      limit_burst: 48,
      access_list: 52,
      quic_list: 56,
      quic_config: 60,
      quic_bytes: 61,
      reserved: 62,
      members: 64,
      slots: 64 + 32 * RING_MEMBERS,
      tail: 64 + 32 * RING_MEMBERS + 2 * RING_SLOTS,
    },
  },
  flow: { size: 16, fields: { check: 0, data: 8 } },
  flow_bucket: { size: 64, fields: { ways: 0 } },
  access_key: { size: 28, fields: { bits: 0, list: 4, family: 8, address: 12 } },
  access_prefix: { size: 4, fields: { allow: 0 } },
  quic_server_key: { size: 12, fields: { list: 0, server_id: 4 } },
  quic_server: { size: 4, fields: { member: 0 } },
  flow_limit_key: { size: 36, fields: { prefix: 0, service: 16 } },
  flow_limit: { size: 8, fields: { paid_until: 0 } },
  fragment_key: { size: 40, fields: { source: 0, vip: 16, id: 32, protocol: 36 } },
  fragment: { size: 24, fields: { hash: 0, service: 8, tick: 12, index: 16, generation: 20 } },
  next_hop: { size: 16, fields: { to: 0, from: 6, ifindex: 12 } },
  member_counters: { size: 24, fields: { packets: 0, bytes: 8, new_flows: 16 } },
  reason_counters: { size: 16, fields: { packets: 0, bytes: 8 } },
  control: { size: 16, fields: { layout_version: 0, next_generation: 4, bucket_key: 8 } },
  lb_config: {
    size: 168,
    fields: {
      fleet_key: 0,
      bucket_key: 16,
      flags: 24,
      mtu: 28,
      near_buckets: 32,
      source4: 36,
      source4_host_mask: 40,
      has_source6: 44,
      source6: 48,
      source6_host_mask: 64,
      fleet: 80,
      capacity_flows: 144,
      capacity_services: 148,
      capacity_members: 152,
      object: 156,
      half_open_buckets: 160,
      reserved: 164,
    },
  },
} as const

/** `enum reason`, by value. */
export const reasons = [
  'forwarded_flow',
  'forwarded_ring',
  'forwarded_untracked',
  'forwarded_quic',
  'forwarded_fragment',
  'forwarded_icmp',
  'answered_echo',
  'answered_too_big',
  'flow_rehashed',
  'flow_evicted',
  'flow_confirmed',
  'syn_evicted',
  'flow_midway',
  'quic_unknown_id',
  'egress_unresolved',
  'pass_not_ip',
  'pass_not_vip',
  'pass_neighbour',
  'pass_unmatched',
  'pass_handover',
  'drop_unmatched',
  'drop_malformed',
  'drop_fragment',
  'drop_fragment_unknown',
  'drop_access',
  'drop_flow_limit',
  'drop_no_backend',
  'drop_too_big',
  'drop_too_big_no_df',
  'drop_icmp_limit',
  'drop_no_source',
  'drop_no_route',
  'drop_no_next_hop',
] as const

const MEMBER_IPV6 = 1 << 0
const MEMBER_ACCESS = 1 << 3
const PROTOCOLS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 }
/** `enum hash_by`, by value. */
const HASH_BYS = ['flow', 'all-but-source-port', 'addresses', 'source'] as const

export interface ServiceKey {
  /** Canonical text. */
  readonly vip: string
  readonly port: number
  /** The last of its ports, when it has more than one. */
  readonly endPort?: number
  readonly protocol: Protocol
}

export interface Member {
  /** Canonical text. */
  readonly address: string
  /** Unique to this assignment of this index, on this node; never 0. */
  readonly generation: number
  /** Index into member_counters. */
  readonly counter: number
  readonly weight: number
}

export interface Ring {
  /** Counts the swaps of this service. */
  readonly generation: number
  readonly encapsulation: XdpServiceRow['encapsulation']
  /** With the encapsulation `gue`. */
  readonly gue?: Gue
  /** Absent: by the 5-tuple. */
  readonly hashBy?: HashBy
  /** `list`: the number of its prefixes in access_prefixes. */
  readonly access?: { readonly list: number; readonly otherwise: 'allow' | 'deny' }
  readonly flowLimit?: FlowLimit
  /** The direction in which it moves, while the other dataplane serves it too. */
  readonly handover?: NonNullable<XdpServiceRow['handover']>
  /** `list`: the number of its server ids in quic_servers; all of them have `idBytes`. */
  readonly quic?: { readonly list: number; readonly configId: number; readonly idBytes: number }
  /** Seconds. */
  readonly idleTimeout: number
  readonly key: ServiceKey
  /** By index; undefined where the index is free. */
  readonly members: readonly (Member | undefined)[]
  /** Index into members by slot, or `SLOT_NONE`. */
  readonly slots: Uint16Array
}

/** Of a service with a range of ports: with the first of them. */
export function encodeServiceKey({ vip, port, protocol }: ServiceKey): Buffer {
  const { size, fields } = structs.service_key
  const bytes = Buffer.alloc(size)
  bytes.write(identify(vip).octets, fields.vip, 'latin1')
  bytes.writeUInt16BE(port, fields.port)
  bytes.writeUInt8(PROTOCOLS[protocol], fields.protocol)
  return bytes
}

/** Undefined for what is no key that Ballast writes. */
export function decodeServiceKey(bytes: Uint8Array): ServiceKey | undefined {
  const key = decodeAnyPort(bytes)
  return key?.port === 0 ? undefined : key
}

/** The port may be 0, as in keys of port_ranges. */
export function decodeAnyPort(bytes: Uint8Array): ServiceKey | undefined {
  const { size, fields } = structs.service_key
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, size)
  const protocol = key.readUInt8(fields.protocol) === PROTOCOLS.tcp ? 'tcp' : 'udp'
  if (key.readUInt8(fields.protocol) !== PROTOCOLS[protocol] || key.readUInt8(fields.zero) !== 0)
    return undefined
  return { vip: readAddress(key, fields.vip), port: key.readUInt16BE(fields.port), protocol }
}

/** An array index, or any other `__u32` key or value. */
export function encodeIndex(index: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(index)
  return bytes
}

/** Array indexes, packed as keys of a batch. */
export function encodeIndexes(indexes: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * indexes.length)
  for (const [place, index] of indexes.entries()) bytes.writeUInt32LE(index, 4 * place)
  return bytes
}

/** Into `bytes`, if they are given, whatever is in them. */
export function encodeRing(ring: Ring, bytes = Buffer.alloc(structs.ring.size)): Buffer {
  const { fields } = structs.ring
  bytes.fill(0, 0, fields.slots).fill(0, fields.tail)
  bytes.writeUInt32LE(ring.generation >>> 0, fields.generation)
  bytes.writeUInt32LE(encodeEncapsulation(ring), fields.encapsulation)
  bytes.writeUInt16BE(ring.gue?.port ?? 0, fields.gue_port)
  bytes.writeUInt8(ring.hashBy === undefined ? 0 : HASH_BYS.indexOf(ring.hashBy), fields.hash_by)
  bytes.writeUInt32LE(ring.members.length, fields.members_used)
  bytes.writeUInt32LE(ring.idleTimeout, fields.idle_timeout)
  bytes.set(encodeServiceKey(ring.key), fields.key)
  encodeFeatures(bytes, ring)
  for (const [index, member] of ring.members.entries()) {
    if (member !== undefined) writeMember(bytes, fields.members + index * structs.member.size, member, ring)
  }
  bytes.set(new Uint8Array(ring.slots.buffer, ring.slots.byteOffset, ring.slots.byteLength), fields.slots)
  return bytes
}

/** The ring of no service: nobody has a slot. */
export const encodeBlankRing = (): Buffer => Buffer.alloc(structs.ring.size)

export const isBlankRing = (bytes: Buffer): boolean =>
  bytes.readUInt32LE(structs.ring.fields.encapsulation) === 0 &&
  bytes.readUInt32LE(structs.ring.fields.members_used) === 0

/**
 * Undefined for what is no ring that Ballast writes. The slots are a view of `bytes`, which begin at an even
 * offset of their buffer.
 */
export function decodeRing(bytes: Uint8Array): Ring | undefined {
  const { size, fields } = structs.ring
  const ring = Buffer.from(bytes.buffer, bytes.byteOffset, size)
  const key = decodeServiceKey(ring.subarray(fields.key))
  const used = ring.readUInt32LE(fields.members_used)
  if (key === undefined || used > RING_MEMBERS) return undefined
  const encapsulation = decodeEncapsulation(
    ring.readUInt32LE(fields.encapsulation),
    ring.readUInt16BE(fields.gue_port),
  )
  if (encapsulation === undefined) return undefined
  const hashBy = HASH_BYS[ring.readUInt8(fields.hash_by)]
  if (hashBy === undefined) return undefined
  const { endPort, ...features } = decodeFeatures(ring)
  const slots = new Uint16Array(bytes.buffer, bytes.byteOffset + fields.slots, RING_SLOTS)
  return {
    generation: ring.readUInt32LE(fields.generation),
    ...encapsulation,
    ...(hashBy !== 'flow' && { hashBy }),
    ...features,
    idleTimeout: ring.readUInt32LE(fields.idle_timeout),
    key: endPort === undefined ? key : { ...key, endPort },
    members: Array.from({ length: used }, (_, i) =>
      readMember(ring, fields.members + i * structs.member.size),
    ),
    slots,
  }
}

export interface Control {
  readonly layoutVersion: number
  readonly nextGeneration: number
  readonly bucketKey: bigint
}

export function encodeControl({ layoutVersion, nextGeneration, bucketKey }: Control): Buffer {
  const { size, fields } = structs.control
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(layoutVersion, fields.layout_version)
  bytes.writeUInt32LE(nextGeneration, fields.next_generation)
  bytes.writeBigUInt64LE(bucketKey, fields.bucket_key)
  return bytes
}

export function decodeControl(bytes: Buffer): Control {
  const { fields } = structs.control
  return {
    layoutVersion: bytes.readUInt32LE(fields.layout_version),
    nextGeneration: bytes.readUInt32LE(fields.next_generation),
    bucketKey: bytes.readBigUInt64LE(fields.bucket_key),
  }
}

function writeMember(bytes: Buffer, at: number, member: Member, ring: Ring): void {
  const { fields } = structs.member
  const { octets, family } = identify(member.address)
  bytes.write(octets, at + fields.address, 'latin1')
  bytes.writeUInt32LE(member.generation, at + fields.generation)
  bytes.writeUInt32LE(member.counter, at + fields.counter)
  bytes.writeUInt32LE(member.weight, at + fields.weight)
  const ipv6 = family === 6
  const access = ring.access === undefined ? 0 : MEMBER_ACCESS
  bytes.writeUInt32LE((ipv6 ? MEMBER_IPV6 : 0) | access | memberFlagsOf(ring, ipv6), at + fields.flags)
}

function readMember(bytes: Buffer, at: number): Member | undefined {
  const { fields } = structs.member
  const generation = bytes.readUInt32LE(at + fields.generation)
  if (generation === 0) return undefined
  return {
    address: readAddress(bytes, at + fields.address),
    generation,
    counter: bytes.readUInt32LE(at + fields.counter),
    weight: bytes.readUInt32LE(at + fields.weight),
  }
}

/** 16 bytes, as canonical text. */
export const readAddress = (bytes: Buffer, at: number): string =>
  addressOf(bytes.toString('latin1', at, at + 16))

/** The same addresses come again and again, and making text of them takes long. */
const addressOf = createTextMemo(2 ** 17, (bytes: string) => addressFromBytes(Buffer.from(bytes, 'latin1')))
