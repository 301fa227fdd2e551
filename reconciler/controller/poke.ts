/** After a poke that was followed, others wait until none came for so long, ms. */
const QUIET_MS = 1_000
/** None waits longer than this, ms. */
const LONGEST_WAIT_MS = 10_000

export interface Poke {
  (): void
  stop(): void
}

/**
 * Joins a storm of pokes into one look at its beginning and one after it: the first is followed at once; those
 * that come within a second of another are one look, a second after the last, or 10 s after the first of them.
 */
export function createPoke(look: () => void): Poke {
  let quiet: NodeJS.Timeout | null = null
  let waitingSince: number | null = null

  const isDue = (): boolean => waitingSince !== null && performance.now() - waitingSince >= LONGEST_WAIT_MS

  function settle(): void {
    quiet = null
    if (waitingSince === null) return
    waitingSince = null
    look()
  }

  const poke = (): void => {
    if (quiet === null) look()
    else {
      clearTimeout(quiet)
      waitingSince ??= performance.now()
      if (isDue()) {
        waitingSince = null
        look()
      }
    }
    quiet = setTimeout(settle, QUIET_MS)
  }
  return Object.assign(poke, {
    stop() {
      if (quiet !== null) clearTimeout(quiet)
      quiet = null
      waitingSince = null
    },
  })
}
