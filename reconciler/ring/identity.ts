import { addressFamily, addressToBytes } from '../../schemas/address.ts'

/** A backend, as rings know it. */
export interface Identity {
  readonly family: 4 | 6
  /** 16 bytes. */
  readonly bytes: Uint8Array
}

/** To read the same addresses again and again takes longer than what is done with them. */
const identities = new Map<string, Identity>()
const IDENTITIES_KEPT = 2 ** 17

export function identify(address: string): Identity {
  const known = identities.get(address)
  if (known !== undefined) return known
  const identity: Identity = { family: addressFamily(address), bytes: addressToBytes(address) }
  if (identities.size >= IDENTITIES_KEPT) identities.clear()
  identities.set(address, identity)
  return identity
}

/** As `compareAddresses`, for long lists. */
export function compareIdentities(a: string, b: string): number {
  const [one, other] = [identify(a), identify(b)]
  return one.family - other.family || Buffer.compare(one.bytes, other.bytes)
}
