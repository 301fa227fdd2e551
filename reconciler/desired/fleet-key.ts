import { sha256 } from '../../schemas/digest.ts'

/** The fingerprint of the key that is made from a fleet's name. */
export function fingerprintFromName(name: string): string {
  const key = Buffer.from(sha256(`ballast fleet key: ${name}`), 'hex').subarray(0, 16)
  return sha256(key).slice(0, 16)
}
