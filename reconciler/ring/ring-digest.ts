import { createHash } from 'node:crypto'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import type { Digest } from '../../schemas/want.ts'
import { compareIdentities, identify } from './identity.ts'
import { SLOT_NONE } from './maglev.ts'

/**
 * SHA-256 over slot -> backend address: equal for two rings exactly when they choose the same backend for
 * every packet, whatever index a node has given to whom, and whoever else is a member without a slot. Throws
 * `RangeError` when a slot names an index without an address.
 */
export function ringDigest(addresses: readonly (string | undefined)[], slots: Uint16Array): Digest {
  const steps = stepRingDigest(addresses, slots)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** The same in steps of some milliseconds, as long as the code is cold. */
export function* stepRingDigest(
  addresses: readonly (string | undefined)[],
  slots: Uint16Array,
): Generator<void, Digest> {
  const ranks = new Uint16Array(SLOT_NONE + 1)
  for (let slot = 0; slot < slots.length; slot++) ranks[slots[slot]!] = 1
  yield
  const used: number[] = []
  for (let index = 0; index < SLOT_NONE; index++) if (ranks[index] === 1) used.push(index)
  yield
  used.sort((a, b) => compareIdentities(addressAt(addresses, a), addressAt(addresses, b)))
  for (const [rank, index] of used.entries()) ranks[index] = rank
  ranks[SLOT_NONE] = SLOT_NONE

  yield
  // In one step, for others use it too.
  const ranked = slots.length === scratch.length ? scratch : new Uint16Array(slots.length)
  for (let slot = 0; slot < slots.length; slot++) ranked[slot] = ranks[slots[slot]!]!
  const digest = createHash('sha256')
  for (const index of used) digest.update(identify(addressAt(addresses, index)).octets, 'latin1')
  return digest.update(new Uint8Array(ranked.buffer)).digest('hex')
}

/** A thousand of them are digested at a time, and each would be 128 KiB for the garbage collector. */
const scratch = new Uint16Array(RING_SLOTS)

function addressAt(addresses: readonly (string | undefined)[], index: number): string {
  const address = addresses[index]
  if (address === undefined) throw new RangeError(`a slot names member ${index}, and there is none`)
  return address
}
