import { FLOW_WAYS, structs } from '../../reconciler/drivers/xdp/layout.ts'

/** Entries of the flow table, as bpf/lb_types.h describes them in words. */

export const FlowState = { syn: 1, confirmed: 2, fin: 3, udp: 4 } as const

export interface FlowEntry {
  readonly bucket: number
  readonly way: number
  readonly check: bigint
  readonly generation: number
  readonly index: number
  /** Ticks of 2^30 ns, 24 bits. */
  readonly stamp: number
  readonly state: number
}

const FORGOTTEN = 0
const STAMP_MASK = 0xffffff

/** The entries of a bucket that are a flow's. */
export function decodeFlow(bytes: Buffer, bucket: number): FlowEntry[] {
  return Array.from({ length: FLOW_WAYS }, (_, way) => {
    const at = way * structs.flow.size
    const data = bytes.readBigUInt64LE(at + structs.flow.fields.data)
    return {
      bucket,
      way,
      check: bytes.readBigUInt64LE(at + structs.flow.fields.check),
      generation: Number(data >> 40n),
      index: Number((data >> 28n) & 0xfffn),
      stamp: Number((data >> 4n) & 0xffffffn),
      state: Number(data & 0xfn),
    }
  }).filter(({ generation, state }) => generation !== 0 && state !== FORGOTTEN)
}

export function encodeFlow(entry: FlowEntry): Buffer {
  const bytes = Buffer.alloc(structs.flow.size)
  const data = identityOf(entry) | (BigInt(entry.stamp) << 4n) | BigInt(entry.state)
  bytes.writeBigUInt64LE(entry.check, structs.flow.fields.check)
  bytes.writeBigUInt64LE(data, structs.flow.fields.data)
  return bytes
}

/** The part of an entry that its check covers. */
export const identityOf = ({ generation, index }: Pick<FlowEntry, 'generation' | 'index'>): bigint =>
  (BigInt(generation) << 40n) | (BigInt(index) << 28n)

/** The same entry, last used that many ticks before it was. */
export const aged = (entry: FlowEntry, ticks: number): FlowEntry => ({
  ...entry,
  stamp: (entry.stamp - ticks) & STAMP_MASK,
})
