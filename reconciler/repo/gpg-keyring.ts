import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import { runCommand } from '../process/run-command.ts'
import { gitEnvironment } from './git-command.ts'
import { unreadable } from './read-secret.ts'

export interface Keyring {
  /** A GNUPGHOME. */
  readonly dir: string
  close(): Promise<void>
}

/**
 * A keyring of these public keys and no others, each of them trusted: who is in the file may sign.
 * Throws `SECRET_UNREADABLE`, `GPG_NOT_INSTALLED`.
 */
export async function openKeyring(keysFile: string): Promise<Keyring> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-gpg-'))
  const close = () => rm(dir, { recursive: true, force: true })
  try {
    // No agent: public keys need none, and it would outlive us.
    await writeFile(join(dir, 'gpg.conf'), 'trust-model always\nno-autostart\nno-auto-key-retrieve\n')
    await runCommand('gpg', ['--batch', '--quiet', '--no-autostart', '--import', '--', keysFile], {
      env: { ...gitEnvironment(), GNUPGHOME: dir },
    })
    return { dir, close }
  } catch (cause) {
    await close()
    if (!(cause instanceof BallastError)) throw cause
    if (cause.code !== 'COMMAND_NOT_FOUND') throw unreadable(keysFile, cause.message, cause)
    throw new BallastError({
      code: 'GPG_NOT_INSTALLED',
      message: 'gpg is not installed, and settings ask for signatures that it verifies',
      hint: 'Install it (Debian: apt-get install gnupg).',
      cause,
    })
  }
}
