import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { BgpPeerRow, Table } from '../../../schemas/node-state.ts'

/** Passwords of peers by the name of their file. */
export type Secrets = ReadonlyMap<string, string>

/** TCP-MD5 takes 80 bytes (tcp(7)); what could end a quoted string of a configuration is refused. */
const USABLE = /^[\x21\x23-\x5b\x5d-\x7e]{1,80}$/

/** Reads the passwords that these peers need, without the end of the line. Throws `BGP_SECRET_UNREADABLE`, `BGP_SECRET_UNUSABLE`. */
export async function readSecrets(folder: string, peers: readonly BgpPeerRow[]): Promise<Secrets> {
  const names = new Set(peers.flatMap(({ password }) => (password === null ? [] : [password.file])))
  const secrets = await Promise.all(
    Array.from(names, async name => [name, await readSecret(join(folder, name))] as const),
  )
  return new Map(secrets)
}

/** Those that can be read. */
export async function readKnownSecrets(folder: string, peers: readonly BgpPeerRow[]): Promise<Secrets> {
  const known = await Promise.all(
    peers.map(peer => readSecrets(folder, [peer]).catch(() => new Map<string, string>())),
  )
  return new Map(known.flatMap(secrets => [...secrets]))
}

export const peersOf = (rows: Table<{ readonly kind: string }>): BgpPeerRow[] =>
  Object.values(rows).filter((row): row is BgpPeerRow => row.kind === 'peer')

async function readSecret(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new BallastError({
      code: 'BGP_SECRET_UNREADABLE',
      message: `the password file ${file} cannot be read: ${(cause as Error).message}`,
      hint: 'Put the password there, one line, readable by the worker alone; --bgp-secrets-dir names the folder.',
      retryable: true,
      cause,
    })
  }
  const secret = text.replace(/\r?\n$/, '')
  if (USABLE.test(secret)) return secret
  throw new BallastError({
    code: 'BGP_SECRET_UNUSABLE',
    message: `the password file ${file} holds no password that TCP-MD5 takes`,
    hint: 'Write 1 to 80 characters of ASCII on one line, without spaces, quotes and backslashes.',
  })
}
