import { createHash } from 'node:crypto'
import { addressToBytes, compareAddresses } from '../../schemas/address.ts'
import type { Digest } from '../../schemas/want.ts'
import { SLOT_NONE } from './maglev.ts'

/**
 * SHA-256 over slot -> backend address: equal for two rings exactly when they choose the same backend for every packet,
 * whatever index a node has given to whom, and whoever else is a member without a slot.
 */
export function ringDigest(addresses: readonly (string | undefined)[], slots: Uint16Array): Digest {
  const used = [...new Set(slots)].filter(index => index !== SLOT_NONE)
  used.sort((a, b) => compareAddresses(addressAt(addresses, a), addressAt(addresses, b)))
  const ranks = new Uint16Array(SLOT_NONE + 1).fill(SLOT_NONE)
  for (const [rank, index] of used.entries()) ranks[index] = rank
  const ranked = slots.map(index => ranks[index]!)
  const digest = createHash('sha256')
  for (const index of used) digest.update(addressToBytes(addressAt(addresses, index)))
  return digest.update(new Uint8Array(ranked.buffer)).digest('hex')
}

function addressAt(addresses: readonly (string | undefined)[], index: number): string {
  const address = addresses[index]
  if (address === undefined) throw new RangeError(`a slot names member ${index}, and there is none`)
  return address
}
