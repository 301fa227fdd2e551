import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'
import { BallastError } from '../../schemas/ballast-error.ts'

const LOCK_EX = 2
const LOCK_NB = 4

export interface FileLock {
  release(): void
}

/**
 * Holds a file by flock(2): one holder at a time on this machine, let go by the kernel when the process
 * ends in any way. Throws `LOCKED` when another process holds it.
 */
export function acquireFileLock(file: string, holder: string): FileLock {
  const flock = koffi.load(null).func('int flock(int fd, int operation)')
  const fd = openSync(file, 'a')
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd)
    throw new BallastError({
      code: 'LOCKED',
      message: `another process already runs as ${holder} (it holds ${file})`,
      hint: 'Stop that process first, or give this one a state directory of its own.',
    })
  }
  return { release: () => closeSync(fd) }
}
