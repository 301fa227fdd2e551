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
  slots_address(): number
  fill_slots(count: number): void
}

/** The types of Node do not have it, and those of browsers bring all of a browser. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

/** `struct turn` of wasm/fill-slots.c, little-endian. */
const TURN_BYTES = 16
export const MAX_TURNS = 65_535

/**
 * Who has which slot, when each turn in its order takes the first free slot that it prefers, evenly over the rounds.
 * The quotas of all are `RING_SLOTS` in sum. Throws `RangeError` for no turn at all, and for more than `MAX_TURNS`.
 */
export function fillSlots(turns: readonly Turn[]): Uint16Array {
  if (turns.length === 0 || turns.length > MAX_TURNS) throw new RangeError(`a ring of ${turns.length} turns`)
  for (const [index, { owner, quota, start, a, b }] of turns.entries()) {
    const at = index * TURN_BYTES
    turnsView.setUint32(at, quota, true)
    turnsView.setUint32(at + 4, 0, true)
    turnsView.setUint16(at + 8, Math.imul(start, a), true)
    turnsView.setUint16(at + 10, a, true)
    turnsView.setUint16(at + 12, b, true)
    turnsView.setUint16(at + 14, owner, true)
  }
  wasm.fill_slots(turns.length)
  return slotsView.slice()
}

const module = new WebAssembly.Module(Buffer.from(FILL_SLOTS_WASM, 'base64'))
const wasm = new WebAssembly.Instance(module).exports as FillSlots
const turnsView = new DataView(wasm.memory.buffer, wasm.turns_address(), MAX_TURNS * TURN_BYTES)
const slotsView = new Uint16Array(wasm.memory.buffer, wasm.slots_address(), RING_SLOTS)
