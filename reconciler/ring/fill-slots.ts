import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { FILL_SLOTS_WASM } from './fill-slots-wasm.ts'

/** A backend's part in a ring, as `buildRing` says. */
export interface Turn {
  /** What its slots hold; below 65,535. */
  readonly owner: number
  /** How many slots it gets, at least one. */
  readonly quota: number
  /** Three numbers of 16 bits; a and b are odd. */
  readonly start: number
  readonly a: number
  readonly b: number
}

/** What wasm/fill-slots.c exports: addresses are bytes into the memory. */
interface FillSlots {
  readonly memory: { readonly buffer: ArrayBuffer }
  turns_address(): number
  ring_address(ring: number): number
  pairs_address(): number
  fill_slots(ring: number, count: number): void
  count_pairs(firstRow: number, rows: number, columns: number): void
}

/** The types of Node do not have it, and those of browsers bring all of a browser. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

/** `struct turn` of wasm/fill-slots.c, little-endian. */
const TURN_BYTES = 12
export const MAX_TURNS = 65_535
/** `MAX_PAIRS` of wasm/fill-slots.c. */
const MAX_PAIRS = 131_072

/**
 * Who has which slot, when each turn in its order takes the first free slot that it prefers, evenly over the rounds.
 * The quotas of all are `RING_SLOTS` in sum. Throws `RangeError` for no turn at all, and for more than `MAX_TURNS`.
 */
export function fillSlots(turns: readonly Turn[]): Uint16Array {
  fillRing(0, turns)
  return rings[0].slice()
}

/** A ring to be counted: `owners` is more than any owner of its turns. */
export interface CountedRing {
  readonly turns: readonly Turn[]
  readonly owners: number
}

/**
 * How many slots have each pair of owners in two rings, as `fillSlots` fills them: at `from * after.owners + to`. A ring
 * without turns is its last owner's alone. Throws as `fillSlots` does.
 */
export function countPairs(before: CountedRing, after: CountedRing): Uint32Array {
  for (const [index, { turns, owners }] of [before, after].entries()) {
    if (turns.length === 0) rings[index]!.fill(owners - 1)
    else fillRing(index, turns)
  }
  const counts = new Uint32Array(before.owners * after.owners)
  const rowsAtOnce = Math.floor(MAX_PAIRS / after.owners)
  for (let row = 0; row < before.owners; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, before.owners - row)
    wasm.count_pairs(row, rows, after.owners)
    counts.set(pairs.subarray(0, rows * after.owners), row * after.owners)
  }
  return counts
}

function fillRing(ring: number, turns: readonly Turn[]): void {
  if (turns.length === 0 || turns.length > MAX_TURNS) throw new RangeError(`a ring of ${turns.length} turns`)
  for (const [index, { owner, quota, start, a, b }] of turns.entries()) {
    const at = index * TURN_BYTES
    turnsView.setUint32(at, quota, true)
    turnsView.setUint16(at + 4, Math.imul(start, a), true)
    turnsView.setUint16(at + 6, a, true)
    turnsView.setUint16(at + 8, b, true)
    turnsView.setUint16(at + 10, owner, true)
  }
  wasm.fill_slots(ring, turns.length)
}

const module = new WebAssembly.Module(Buffer.from(FILL_SLOTS_WASM, 'base64'))
const wasm = new WebAssembly.Instance(module).exports as FillSlots
const turnsView = new DataView(wasm.memory.buffer, wasm.turns_address(), MAX_TURNS * TURN_BYTES)
const viewRing = (ring: number) => new Uint16Array(wasm.memory.buffer, wasm.ring_address(ring), RING_SLOTS)
const rings = [viewRing(0), viewRing(1)] as const
const pairs = new Uint32Array(wasm.memory.buffer, wasm.pairs_address(), MAX_PAIRS)
