import type { Revision } from '../../schemas/want.ts'
import type { Program } from '../process/run-command.ts'
import { type ByteReader, createByteReader } from './byte-reader.ts'
import { type GitPlace, startGit } from './git-command.ts'

export interface RefMove {
  readonly ref: string
  readonly to: Revision
  /** Where the ref is now, or it stays; null: nowhere yet. */
  readonly from: Revision | null
}

/**
 * Moves refs through one `git update-ref` that stays: to start git stops this process for longer than all that the move
 * takes. False: it was not moved, and git says why to who asks it by itself.
 */
export type MoveRef = (move: RefMove) => Promise<boolean>

interface Session {
  readonly git: Program
  readonly reader: ByteReader
}

/** ms without an answer after which git is given up. */
const SILENCE_MS = 10_000
/** git-update-ref(1) answers to each of these. */
const STEPS = ['start', 'prepare', 'commit'] as const

export function createRefWriter(place: GitPlace, reason: string): MoveRef {
  let running: Promise<Session> | null = null
  let last: Promise<unknown> = Promise.resolve()

  async function open(): Promise<Session> {
    const git = await startGit(place, ['update-ref', '-m', reason, '--stdin'])
    git.unref()
    return { git, reader: createByteReader(git.stdout!) }
  }

  async function ask({ git, reader }: Session, { ref, to, from }: RefMove): Promise<boolean> {
    git.ref()
    const timer = setTimeout(() => void git.stop(), SILENCE_MS)
    try {
      git.stdin!.write(`start\nupdate ${ref} ${to} ${from ?? '0'.repeat(to.length)}\nprepare\ncommit\n`)
      for (const step of STEPS) if ((await reader.line()) !== `${step}: ok`) return false
      return true
    } catch {
      // It has ended: git does when a ref is not where it should be.
      return false
    } finally {
      clearTimeout(timer)
      git.unref()
    }
  }

  async function move(wanted: RefMove): Promise<boolean> {
    running ??= open()
    const session = await running.catch(() => null)
    if (session !== null && (await ask(session, wanted))) return true
    running = null
    // A program whose output nobody reads never counts as ended.
    if (session !== null) void Promise.all([session.git.stop(), session.reader.drain()])
    return false
  }

  return wanted => {
    const turn = last.then(() => move(wanted))
    last = turn.catch(() => {})
    return turn
  }
}
