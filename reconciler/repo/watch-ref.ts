import { join, relative } from 'node:path'
import { watch } from 'chokidar'
import { BallastError } from '../../schemas/ballast-error.ts'
import { createBell } from './bell.ts'
import type { GitPlace } from './git-command.ts'

/** chokidar gives a file's changes at most every 50 ms, and drops those between; looking again finds the last. */
const AFTERMATH_MS = 100

/**
 * Yields at once, and then whenever the ref may have moved: its own file, `packed-refs`, `HEAD`, the tables
 * of a reftable. Changes that come while nobody asks are one. Network file systems tell nothing: look from
 * time to time as well. Throws `REPO_WATCH_FAILED`.
 */
export async function* watchRef(place: GitPlace, ref: string, signal: AbortSignal): AsyncGenerator<void> {
  const isRelevant = createFilter(place, ref)
  const watcher = watch([...new Set([place.commonDir, place.gitDir])], {
    ignored: path => !isRelevant(path),
    ignoreInitial: true,
    followSymlinks: false,
  })
  const bell = createBell()
  let failure: unknown = null
  let aftermath: NodeJS.Timeout | undefined
  watcher.on('error', error => {
    failure = error
    bell.ring()
  })
  watcher.on('all', () => {
    bell.ring()
    clearTimeout(aftermath)
    aftermath = setTimeout(bell.ring, AFTERMATH_MS)
  })
  signal.addEventListener('abort', bell.ring, { once: true })

  try {
    // What happens before it watches would be missed if this yielded first.
    await new Promise<void>(resolve => {
      for (const event of ['ready', 'error'] as const) watcher.once(event, () => resolve())
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    bell.ring()
    while (true) {
      await bell.heard()
      if (signal.aborted) return
      if (failure !== null) throw watchFailed(place, failure)
      yield
    }
  } finally {
    clearTimeout(aftermath)
    signal.removeEventListener('abort', bell.ring)
    await watcher.close()
  }
}

/** Few files are watched, whatever a repository has of objects and other branches. */
function createFilter({ commonDir, gitDir }: GitPlace, ref: string): (path: string) => boolean {
  const files = ref.startsWith('refs/')
    ? [ref]
    : ['refs/heads', 'refs/tags', 'refs'].map(at => `${at}/${ref}`)
  const relevant = new Set([commonDir, gitDir])
  for (const file of ['HEAD', 'packed-refs', ...files]) {
    const parts = file.split('/')
    for (const [index] of parts.entries()) relevant.add(join(commonDir, ...parts.slice(0, index + 1)))
  }
  relevant.add(join(gitDir, 'HEAD'))
  const isReftable = (path: string): boolean => /^reftable(\/|$)/.test(relative(commonDir, path))
  return path => !path.endsWith('.lock') && (relevant.has(path) || isReftable(path))
}

function watchFailed({ dir }: GitPlace, cause: unknown): BallastError {
  const { code, message } = cause as NodeJS.ErrnoException
  const full = code === 'ENOSPC' || code === 'EMFILE'
  return new BallastError({
    code: 'REPO_WATCH_FAILED',
    message: `${dir} cannot be watched: ${message}`,
    hint: full
      ? 'Raise fs.inotify.max_user_watches and max_user_instances (sysctl).'
      : 'See the cause; the repository is still looked at from time to time.',
    retryable: true,
    cause,
  })
}
