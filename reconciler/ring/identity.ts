import { hash } from 'node:crypto'
import { addressToBytes, familyOfBytes } from '../../schemas/address.ts'
import { createTextMemo } from './text-memo.ts'

/** A backend, as rings know it. */
export interface Identity {
  readonly family: 4 | 6
  /** 16 of them, as characters (latin1): of a hundred thousand arrays the garbage collector would have more to do. */
  readonly octets: string
  /** Once it was asked for: hashing an address takes longer than its turns in a ring. */
  preference: Preference | null
}

/** Words of 16 bits by which a backend prefers slots, as `buildRing` says: h[0], h[1] | 1 and h[2] | 1. */
export interface Preference {
  readonly start: number
  readonly a: number
  readonly b: number
}

/** To read the same addresses again and again takes longer than what is done with them. */
export const identify = createTextMemo(2 ** 17, (address: string): Identity => {
  const bytes = addressToBytes(address)
  return {
    family: familyOfBytes(bytes),
    octets: Buffer.from(bytes).toString('latin1'),
    preference: null,
  }
})

/** As `compareAddresses`, for long lists. */
export const compareIdentities = (a: string, b: string): number => orderIdentities(identify(a), identify(b))

/** By family (IPv4 first), then as numbers. */
export const orderIdentities = (a: Identity, b: Identity): number =>
  a.family - b.family || (a.octets < b.octets ? -1 : Number(a.octets > b.octets))

export function preferenceOf(identity: Identity): Preference {
  identity.preference ??= preferenceOfHash(hash('sha256', Buffer.from(identity.octets, 'latin1'), 'binary'))
  return identity.preference
}

/** Bytes as characters. */
function preferenceOfHash(digest: string): Preference {
  const word = (index: number): number =>
    digest.charCodeAt(2 * index) | (digest.charCodeAt(2 * index + 1) << 8)
  return { start: word(0), a: word(1) | 1, b: word(2) | 1 }
}
