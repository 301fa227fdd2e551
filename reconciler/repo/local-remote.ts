import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import { findRepository } from './find-repository.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { pushRejected, type WritableRemote } from './push.ts'

const INCOMING_REF = 'refs/ballast/incoming'
const LONGEST_MS = 600_000

/** A repository on this machine as a remote: what is pushed to it goes through its hooks, as from anybody. */
export async function openLocalRemote(dir: string): Promise<WritableRemote> {
  const there = await findRepository(dir)
  const ending = new AbortController()

  const run = (place: GitPlace, args: readonly string[], okExitCodes: readonly number[]) =>
    runGit(place, ['-c', 'protocol.file.allow=always', ...args], {
      timeout: LONGEST_MS,
      signal: ending.signal,
      okExitCodes,
    }).catch((cause: unknown) => {
      throw explain(there.dir, cause)
    })

  async function commitOf(place: GitPlace, ref: string): Promise<Revision | null> {
    const args = ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`]
    const { stdout } = await runGit(place, args, { okExitCodes: [0, 1] })
    return Revision.safeParse(stdout.trim()).data ?? null
  }

  return {
    url: there.dir,
    async fetch(ref, mirror) {
      if ((await commitOf(there, ref)) === null) return null
      const flags = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance', '--refmap=']
      await run(mirror, ['fetch', ...flags, '--', there.dir, `+${ref}:${INCOMING_REF}`], [0])
      return commitOf(mirror, INCOMING_REF)
    },
    async push(branch, place) {
      const ref = `refs/heads/${branch}`
      const args = ['push', '--porcelain', '--no-verify', '--', there.dir, `${ref}:${ref}`]
      const { exitCode, stdout, stderr } = await run(place, args, [0, 1])
      if (exitCode !== 0) throw pushRejected(there.dir, branch, `${stdout}\n${stderr}`)
    },
    close: () => ending.abort(),
  }
}

function explain(dir: string, cause: unknown): unknown {
  if (!(cause instanceof BallastError) || cause.code !== 'COMMAND_FAILED') return cause
  const isForeign = /dubious ownership/.test(cause.message)
  return new BallastError({
    code: isForeign ? 'GIT_REMOTE_UNTRUSTED' : 'GIT_REMOTE_FAILED',
    message: isForeign ? `${dir} belongs to another user` : `${dir}: ${cause.message}`,
    hint: isForeign
      ? 'What is written there would not be theirs any more. Run as that user, or give its address over SSH or HTTPS as --drift-repo.'
      : 'It is tried again.',
    retryable: true,
    cause,
  })
}
