import ipaddr from 'ipaddr.js'
import { addressFamily, addressFromBytes, addressToBytes } from '../../../../schemas/address.ts'

/** What the decapsulator and user space both see, as bpf/decap_types.h lays it out; a test compares the two. */
export const decapStructs = {
  prefix: { size: 20, fields: { bits: 0, address: 4 } },
  reason_counters: { size: 16, fields: { packets: 0, bytes: 8 } },
} as const

/** `enum decap_reason`, by value. */
export const decapReasons = [
  'ipip',
  'gue',
  'gue_0',
  'pass_other',
  'pass_source',
  'drop_vip',
  'drop_malformed',
  'drop_congestion',
] as const
export type DecapReason = (typeof decapReasons)[number]

const MAPPED_BITS = 96

/** An address or a prefix, as a key of a trie. Throws `TypeError` on what is neither. */
export function encodePrefix(text: string): Buffer {
  const [address = '', length] = text.split('/')
  const mapped = addressFamily(address) === 4 ? MAPPED_BITS : 0
  const bits = length === undefined ? 128 : mapped + readLength(text, length, 128 - mapped)
  const { size, fields } = decapStructs.prefix
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(bits, fields.bits)
  const mask = ipaddr.IPv6.subnetMaskFromPrefixLength(bits).toByteArray()
  bytes.set(
    addressToBytes(address).map((byte, i) => byte & mask[i]!),
    fields.address,
  )
  return bytes
}

/** In canonical CIDR. */
export function decodePrefix(bytes: Buffer): string {
  const { fields } = decapStructs.prefix
  const bits = bytes.readUInt32LE(fields.bits)
  const address = addressFromBytes(bytes.subarray(fields.address))
  return `${address}/${addressFamily(address) === 4 ? bits - MAPPED_BITS : bits}`
}

function readLength(text: string, length: string, most: number): number {
  if (!/^\d{1,3}$/.test(length) || Number(length) > most) throw new TypeError(`${text} is no prefix`)
  return Number(length)
}
