import ipaddr from 'ipaddr.js'
import { addressFromBytes, addressToBytes } from '../../../schemas/address.ts'
import type { XdpSettingsRow } from '../../../schemas/node-state.ts'
import { structs } from './layout.ts'

const UNMATCHED_PASS = 1 << 0
const EGRESS_FIB = 1 << 1
const FRAGMENTS_DROP = 1 << 2
const FLEET_BYTES = 64
const MAPPED_BITS = 96
const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex')

/** The constants of a loaded program: `struct lb_config`. */
export interface ProgramConfig {
  /** 16 bytes. */
  readonly fleetKey: Uint8Array
  readonly bucketKey: bigint
  /** Of the flow table, a power of two. */
  readonly nearBuckets: number
  /** The same of half-open ones. */
  readonly halfOpenBuckets: number
  /** Of the object file that the program came from: the first 4 bytes of its SHA-256. */
  readonly object?: number
  readonly settings: Omit<XdpSettingsRow, 'kind' | 'fleetKey'>
}

const { size, fields } = structs.lb_config

export function encodeConfig({
  fleetKey,
  bucketKey,
  nearBuckets,
  halfOpenBuckets,
  object = 0,
  settings,
}: ProgramConfig): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.set(fleetKey, fields.fleet_key)
  bytes.writeBigUInt64LE(bucketKey, fields.bucket_key)
  const pass = settings.unmatched === 'pass' ? UNMATCHED_PASS : 0
  const fib = settings.egress === 'fib' ? EGRESS_FIB : 0
  const fragments = settings.fragments === 'drop' ? FRAGMENTS_DROP : 0
  bytes.writeUInt32LE(pass | fib | fragments, fields.flags)
  bytes.writeUInt32LE(settings.mtu, fields.mtu)
  bytes.writeUInt32LE(nearBuckets, fields.near_buckets)
  bytes.writeUInt32LE(halfOpenBuckets, fields.half_open_buckets)
  if (settings.sources.ipv4 !== '') {
    const { prefix, hostMask } = prefixToBytes(settings.sources.ipv4)
    bytes.set(prefix.subarray(12), fields.source4)
    bytes.set(hostMask.subarray(12), fields.source4_host_mask)
  }
  if (settings.sources.ipv6 !== '') {
    const { prefix, hostMask } = prefixToBytes(settings.sources.ipv6)
    bytes.writeUInt32LE(1, fields.has_source6)
    bytes.set(prefix, fields.source6)
    bytes.set(hostMask, fields.source6_host_mask)
  }
  bytes.write(settings.fleet, fields.fleet, FLEET_BYTES - 1, 'utf8')
  bytes.writeUInt32LE(settings.capacity.flows, fields.capacity_flows)
  bytes.writeUInt32LE(settings.capacity.services, fields.capacity_services)
  bytes.writeUInt32LE(settings.capacity.members, fields.capacity_members)
  bytes.writeUInt32LE(object, fields.object)
  return bytes
}

export function decodeConfig(bytes: Buffer): Required<ProgramConfig> {
  const flags = bytes.readUInt32LE(fields.flags)
  const fleet = bytes.subarray(fields.fleet, fields.fleet + FLEET_BYTES)
  const hasSource4 = bytes.readUInt32LE(fields.source4) !== 0
  const hasSource6 = bytes.readUInt32LE(fields.has_source6) !== 0
  return {
    fleetKey: Uint8Array.from(bytes.subarray(fields.fleet_key, fields.fleet_key + 16)),
    bucketKey: bytes.readBigUInt64LE(fields.bucket_key),
    nearBuckets: bytes.readUInt32LE(fields.near_buckets),
    halfOpenBuckets: bytes.readUInt32LE(fields.half_open_buckets),
    object: bytes.readUInt32LE(fields.object),
    settings: {
      fleet: fleet.toString('utf8', 0, fleet.indexOf(0)),
      sources: {
        ipv4: hasSource4
          ? prefixFromBytes(
              mapped(bytes, fields.source4),
              widened(bytes, fields.source4_host_mask),
              MAPPED_BITS,
            )
          : '',
        ipv6: hasSource6
          ? prefixFromBytes(at(bytes, fields.source6, 16), at(bytes, fields.source6_host_mask, 16), 0)
          : '',
      },
      mtu: bytes.readUInt32LE(fields.mtu),
      egress: (flags & EGRESS_FIB) === 0 ? 'hairpin' : 'fib',
      unmatched: (flags & UNMATCHED_PASS) === 0 ? 'drop' : 'pass',
      ...((flags & FRAGMENTS_DROP) !== 0 && { fragments: 'drop' }),
      capacity: {
        flows: bytes.readUInt32LE(fields.capacity_flows),
        services: bytes.readUInt32LE(fields.capacity_services),
        members: bytes.readUInt32LE(fields.capacity_members),
      },
    },
  }
}

function prefixToBytes(cidr: string): { prefix: Uint8Array; hostMask: Uint8Array } {
  const [address, length] = ipaddr.parseCIDR(cidr)
  const bits = address.kind() === 'ipv4' ? MAPPED_BITS + length : length
  const hostMask = Uint8Array.from({ length: 16 }, (_, i) => 0xff >> Math.min(8, Math.max(0, bits - 8 * i)))
  const prefix = addressToBytes(address.toString()).map((byte, i) => byte & ~hostMask[i]!)
  return { prefix, hostMask }
}

function prefixFromBytes(prefix: Uint8Array, hostMask: Uint8Array, skippedBits: number): string {
  const hostBits = hostMask.reduce((sum, byte) => sum + 32 - Math.clz32(byte), 0)
  return `${addressFromBytes(prefix)}/${128 - skippedBits - hostBits}`
}

const at = (bytes: Buffer, offset: number, length: number): Buffer => bytes.subarray(offset, offset + length)

/** Four bytes as the end of an IPv4-mapped address. */
const mapped = (bytes: Buffer, offset: number): Buffer => Buffer.concat([MAPPED_PREFIX, at(bytes, offset, 4)])

/** Four bytes of a mask as the end of sixteen. */
const widened = (bytes: Buffer, offset: number): Buffer =>
  Buffer.concat([Buffer.alloc(12), at(bytes, offset, 4)])
