import ipaddr from 'ipaddr.js'
import type { Access } from '../../../schemas/node-state.ts'
import { structs } from './layout.ts'
import type { ListCodec } from './lists.ts'

/** bpf/lb_types.h: of `bits`, those of the list and the family. */
const LIST_BITS = 64

/** The prefixes of an access list, in access_prefixes. */
type Prefixes = Pick<Access, 'allow' | 'deny'>

export const accessCodec: ListCodec<Prefixes> = {
  map: 'access_prefixes',
  encode(list, { allow, deny }) {
    return [...allow.map(prefix => [prefix, 1] as const), ...deny.map(prefix => [prefix, 0] as const)].map(
      ([prefix, allowed]) => [encodeKey(list, prefix), word(allowed)],
    )
  },
  listOf: key => key.readUInt32LE(structs.access_key.fields.list),
  decode(entries) {
    const allow: string[] = []
    const deny: string[] = []
    for (const [key, value] of entries) (value.readUInt32LE() === 0 ? deny : allow).push(decodeKey(key))
    return { allow: allow.sort(), deny: deny.sort() }
  },
}

function encodeKey(list: number, prefix: string): Buffer {
  const { size, fields } = structs.access_key
  const [address, bits] = ipaddr.parseCIDR(prefix)
  const key = Buffer.alloc(size)
  key.writeUInt32LE(LIST_BITS + bits, fields.bits)
  key.writeUInt32LE(list, fields.list)
  key.writeUInt32LE(address.kind() === 'ipv4' ? 4 : 6, fields.family)
  key.set(address.toByteArray(), fields.address)
  return key
}

function decodeKey(key: Buffer): string {
  const { fields } = structs.access_key
  const bytes = key.subarray(
    fields.address,
    fields.address + (key.readUInt32LE(fields.family) === 4 ? 4 : 16),
  )
  const text = ipaddr.fromByteArray([...bytes])
  const address = text.kind() === 'ipv4' ? text.toString() : (text as ipaddr.IPv6).toRFC5952String()
  return `${address}/${key.readUInt32LE(fields.bits) - LIST_BITS}`
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(structs.access_prefix.size)
  bytes.writeUInt32LE(value)
  return bytes
}
