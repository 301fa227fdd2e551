import { join } from 'node:path'
import { type Hold, Holds, nextHolds } from '../../schemas/hold.ts'
import { Rollout } from '../../schemas/rollout.ts'
import type { Log } from '../log/log.ts'
import type { Repository } from '../repo/repository.ts'
import { openKeptFile } from './kept-file.ts'

/** Of Redis: the record of the rollout, and what is held. */
export interface RolloutBoard {
  write(rollout: Rollout): Promise<void>
  read(): Promise<Rollout | null>
  readHolds(): Promise<Holds | null>
  writeHolds(next: Holds, known: Holds | null): Promise<void>
}

export interface RecordsOptions {
  readonly stateDir: string
  readonly repository: Pick<Repository, 'state' | 'keepState'>
  readonly board: RolloutBoard
  readonly log: Log
  readonly now: () => number
}

/** What must outlive Redis and the reconciler: kept in several places, of which the newest copy counts. */
export interface RolloutRecords {
  /** Puts it back into Redis, where that has lost it. Null: it is in none of its places. Throws when Redis cannot be asked: it may have the newest. */
  readRollout(): Promise<Rollout | null>
  /** On the disk and in the repository when it settles, and in Redis. */
  keepRollout(rollout: Rollout): Promise<void>
  /** Puts what Redis has lost back into it. */
  readHolds(): Promise<readonly Hold[]>
  hold(hold: Hold): Promise<void>
}

export function openRecords({ stateDir, repository, board, log, now }: RecordsOptions): RolloutRecords {
  const rolloutFile = openKeptFile(join(stateDir, 'rollout.json'), Rollout, log)
  const holdsFile = openKeptFile(join(stateDir, 'holds.json'), Holds, log)
  let holdsOnDisk: Holds | null | undefined

  async function readRef(): Promise<Rollout | null> {
    const text = await repository.state()
    if (text === null) return null
    try {
      return Rollout.parse(JSON.parse(text))
    } catch (error) {
      log.warn(
        { err: error },
        'the state in the repository cannot be read; what the disk and Redis have of it counts',
      )
      return null
    }
  }

  async function holds(): Promise<Holds | null> {
    holdsOnDisk ??= await holdsFile.read()
    const there = await board.readHolds()
    if ((holdsOnDisk?.sequence ?? 0) > (there?.sequence ?? 0)) {
      await board.writeHolds(holdsOnDisk!, there)
      return holdsOnDisk
    }
    if (there !== null && there.sequence !== holdsOnDisk?.sequence) {
      await holdsFile.write(there)
      holdsOnDisk = there
    }
    return there
  }

  return {
    async readRollout() {
      const copies = await Promise.all([board.read(), rolloutFile.read(), readRef()])
      const newest = copies.reduce((a, b) => ((b?.sequence ?? 0) > (a?.sequence ?? 0) ? b : a))
      if (newest !== null && newest !== copies[0]) await board.write(newest)
      return newest
    },
    async keepRollout(rollout) {
      await rolloutFile.write(rollout)
      await repository.keepState(JSON.stringify(rollout))
      await board.write(rollout)
    },
    readHolds: async () => (await holds())?.holds ?? [],
    async hold(hold) {
      const known = await holds()
      const next = nextHolds([...(known?.holds ?? []), hold], known, now())
      await board.writeHolds(next, known)
      await holds()
    },
  }
}
