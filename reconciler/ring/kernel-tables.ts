import { addressToBytes } from '../../schemas/address.ts'
import { SLOT_NONE } from './maglev.ts'

/**
 * The tables from which schedulers of the kernel's IPVS choose the backend of a new flow, as ip_vs_mh.c, ip_vs_sh.c and
 * ip_vs_dh.c fill them on a kernel of 64 bits; a test compares them with the kernel's choices. Backends are in the order
 * in which they were added; slots hold their index.
 */

export interface KernelBackend {
  readonly address: string
  readonly port: number
  readonly weight: number
  /** The weight that it had before it was drained: the kernel leaves it its slots. 0: it was added without any. */
  readonly lastWeight: number
}

/** The kernel's CONFIG_IP_VS_MH_TAB_INDEX of 12, which no distribution changes. */
export const MH_SLOTS = 4093
const MH_WEIGHT_BITS = 6
export const HASH_SLOTS = 256

const OFFSET_KEY = 2_654_435_761n
const SKIP_KEY = 2_654_446_892n

/** Maglev, with the kernel's own permutations and turns of weight. */
export function buildMhTable(backends: readonly KernelBackend[]): Uint16Array {
  const table = new Uint16Array(MH_SLOTS).fill(SLOT_NONE)
  const unit = backends.reduce((divisor, { lastWeight }) => gcd(divisor, lastWeight), 0)
  if (unit === 0) return table
  const heaviest = Math.max(...backends.map(({ lastWeight }) => lastWeight)) / unit
  const shift = Math.max(0, 32 - Math.clz32(heaviest) - MH_WEIGHT_BITS)
  const turns = backends
    .map(({ address, port, lastWeight }, index) => ({
      index,
      next: mhHash(OFFSET_KEY, address, port) % MH_SLOTS,
      skip: (mhHash(SKIP_KEY, address, port) % (MH_SLOTS - 1)) + 1,
      count: (lastWeight / unit) >> shift || Math.sign(lastWeight),
    }))
    // Who is added comes first in the kernel's list.
    .reverse()
  for (let filled = 0; ; )
    for (const turn of turns)
      for (let i = 0; i < turn.count; i++) {
        while (table[turn.next] !== SLOT_NONE) turn.next = (turn.next + turn.skip) % MH_SLOTS
        table[turn.next] = turn.index
        if (++filled === MH_SLOTS) return table
      }
}

/** By weight in turn; a drained backend has one slot at a time. */
export function buildShTable(backends: readonly KernelBackend[]): Uint16Array {
  const turns = backends
    .flatMap(({ weight }, index) => new Array<number>(Math.min(HASH_SLOTS, Math.max(1, weight))).fill(index))
    .reverse()
  return cycle(turns)
}

/** In turn, whatever the weights. */
export const buildDhTable = (backends: readonly KernelBackend[]): Uint16Array =>
  cycle([...backends.keys()].reverse())

function cycle(turns: readonly number[]): Uint16Array {
  const table = new Uint16Array(HASH_SLOTS).fill(SLOT_NONE)
  return turns.length === 0 ? table : table.map((_, slot) => turns[slot % turns.length]!)
}

/** `port`: of the source, with `mh-port`; else 0. */
export const mhSlotOf = (source: string, port: number): number => mhHash(OFFSET_KEY, source, port) % MH_SLOTS

/** `port` likewise, with `sh-port`. */
export const shSlotOf = (source: string, port: number): number => goldenHash(foldAddress(source) + port)

/** Of the VIP: all flows to it have the same. */
export const dhSlotOf = (vip: string): number => goldenHash(foldAddress(vip))

/** The kernel's hash_32, of 8 bits. */
const goldenHash = (word: number): number => Math.imul(word, 0x61c8_8647) >>> 24

/** Where `sh` looks on behalf of a slot whose backend is drained: its fallback. */
export const shFallbackSlots = (slot: number): number[] =>
  Array.from({ length: HASH_SLOTS }, (_, offset) => (2 * slot + offset) % HASH_SLOTS)

const mhHash = (key: bigint, address: string, port: number): number =>
  hsiphash(key, (foldAddress(address) + port) >>> 0)

/** The address in 32 bits; of IPv6 its four words, one XOR the other. */
function foldAddress(text: string): number {
  const bytes = Buffer.from(addressToBytes(text))
  if (!text.includes(':')) return bytes.readUInt32BE(12)
  return (
    (bytes.readUInt32BE(0) ^ bytes.readUInt32BE(4) ^ bytes.readUInt32BE(8) ^ bytes.readUInt32BE(12)) >>> 0
  )
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

const MASK = (1n << 64n) - 1n
const rotate = (word: bigint, bits: bigint): bigint => ((word << bits) | (word >> (64n - bits))) & MASK

/** SipHash-1-3 of one word of 32 bits, its lower half: what the kernel calls hsiphash; both halves of the key are `key`. */
function hsiphash(key: bigint, word: number): number {
  let [v0, v1, v2, v3] = [
    0x736f_6d65_7073_6575n ^ key,
    0x646f_7261_6e64_6f6dn ^ key,
    0x6c79_6765_6e65_7261n ^ key,
    0x7465_6462_7974_6573n ^ key,
  ]
  const round = (): void => {
    v0 = (v0 + v1) & MASK
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = (v2 + v3) & MASK
    v3 = rotate(v3, 16n) ^ v2
    v0 = (v0 + v3) & MASK
    v3 = rotate(v3, 21n) ^ v0
    v2 = (v2 + v1) & MASK
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const last = (4n << 56n) | BigInt(word)
  v3 ^= last
  round()
  v0 ^= last
  v2 ^= 0xffn
  for (let i = 0; i < 3; i++) round()
  return Number((v0 ^ v1 ^ v2 ^ v3) & 0xffff_ffffn)
}
