import { sha256 } from '../../schemas/digest.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'

export const DRIFT_FOLDER = 'drift'

/** What makes two reports speak of the same drift. Its kind may change under way between those that exclude each other. */
export type DriftIdentity = Pick<DriftRecord, 'node' | 'driver' | 'key' | 'kind'>

/** A row is missing or changed or unexpected: one thing with it is wrong. Other kinds may come beside these. */
const EXCLUSIVE: readonly string[] = [
  'missing',
  'changed',
  'unexpected',
  'paused',
  'unreachable',
  'rings-disagree',
]

/** Longest name of a file or folder that file systems take, less the suffix, bytes. */
const LONGEST_NAME = 200

/**
 * `drift/<node>/<driver>/<key>.yaml`, with `~<kind>` before the suffix where several kinds may hold at once. Different
 * drift has different paths, none of which is a folder of another; no key leads out of the folder, or to `.git`.
 */
export function driftPath({ node, driver, key, kind }: DriftIdentity): string {
  const names = key.split('/').map(encodeName)
  const last = names.pop()!
  // A folder is never called as a file is.
  const folders = [node, driver].map(encodeName).concat(names.map(name => name.replace(/\.yaml$/, '%2Eyaml')))
  const suffix = EXCLUSIVE.includes(kind) ? '' : `~${encodeName(kind)}`
  return [DRIFT_FOLDER, ...folders, `${last}${suffix}.yaml`].join('/')
}

/** Percent-encoding (RFC 3986, 2.1) of all that is not plain. */
function encodeName(text: string): string {
  if (text === '') return '%'
  const name = Array.from(Buffer.from(text), byte =>
    /[\w.:[\]-]/.test(String.fromCharCode(byte))
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')
  const safe = name.startsWith('.') ? `%2E${name.slice(1)}` : name
  return safe.length <= LONGEST_NAME ? safe : `${safe.slice(0, 100)}%~${sha256(text)}`
}
