import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import { runCommand } from '../process/run-command.ts'
import { gitEnvironment } from './git-command.ts'
import { readSecret, unreadable } from './read-secret.ts'

/** A private key without a passphrase: of SSH, or as `gpg --export-secret-keys` writes it. */
export type SigningKey = { readonly ssh: string } | { readonly gpg: string }

/** How git signs what we commit. */
export interface CommitSigner {
  /** Before the subcommand. */
  readonly settings: readonly string[]
  /** After `commit-tree`. */
  readonly flags: readonly string[]
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

const UNSIGNED: CommitSigner = { settings: [], flags: [], env: {}, close: async () => {} }

/** Undefined: nothing is signed. Throws `SECRET_UNREADABLE`, `GPG_NOT_INSTALLED`. */
export async function openSigner(key: SigningKey | undefined): Promise<CommitSigner> {
  if (key === undefined) return UNSIGNED
  if ('gpg' in key) return openGpgSigner(key.gpg)
  await trySshKey(key.ssh)
  return {
    ...UNSIGNED,
    settings: configure('gpg.format=ssh', 'gpg.ssh.program=ssh-keygen', `user.signingKey=${key.ssh}`),
    flags: ['-S'],
  }
}

/** Else git says that it could not sign, after a command of six lines. */
async function trySshKey(file: string): Promise<void> {
  await readSecret(file)
  await runCommand('ssh-keygen', ['-y', '-P', '', '-f', file]).catch((cause: BallastError) => {
    if (cause.code !== 'COMMAND_FAILED') throw cause
    throw unreadable(file, `it is no private key of SSH without a passphrase (${cause.message})`, cause)
  })
}

const configure = (...settings: string[]): string[] => settings.flatMap(each => ['-c', each])

async function openGpgSigner(file: string): Promise<CommitSigner> {
  // Short: the agent's socket lies in it.
  const dir = await mkdtemp(join(tmpdir(), 'ballast-gpg-'))
  const env = { ...gitEnvironment(), GNUPGHOME: dir }
  const gpg = (...args: string[]) => runCommand('gpg', ['--batch', '--quiet', ...args], { env })
  const close = async (): Promise<void> => {
    await runCommand('gpgconf', ['--kill', 'gpg-agent'], { env }).catch(() => {})
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await gpg('--import', '--', file)
    const { stdout } = await gpg('--list-secret-keys', '--with-colons')
    const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(stdout)?.[1]
    if (fingerprint === undefined) throw unreadable(file, 'it holds no private key')
    await gpg(
      '--pinentry-mode',
      'error',
      '--local-user',
      fingerprint,
      '--detach-sign',
      '--output',
      join(dir, 'tried'),
      '--',
      file,
    )
    return {
      settings: configure('gpg.format=openpgp', 'gpg.program=gpg', `user.signingKey=${fingerprint}`),
      flags: ['-S'],
      env: { GNUPGHOME: dir },
      close,
    }
  } catch (cause) {
    await close()
    if (!(cause instanceof BallastError) || cause.code === 'SECRET_UNREADABLE') throw cause
    if (cause.code !== 'COMMAND_NOT_FOUND') throw unreadable(file, cause.message, cause)
    throw new BallastError({
      code: 'GPG_NOT_INSTALLED',
      message: 'gpg is not installed, and commits are to be signed by it',
      hint: 'Install it (Debian: apt-get install gnupg), or sign with an SSH key.',
      cause,
    })
  }
}
