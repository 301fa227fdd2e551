/** A step that runs one at a time, again and again, whenever something gives a reason. */
export interface Loop {
  /** Runs the step soon; reasons that come while it runs are joined into one more run. */
  trigger(reason: string): void
  /** Settles when no step runs any more; none begins after the call. */
  stop(): Promise<void>
}

/** `step` handles its own errors; one that escapes is given to `onError`, and the loop goes on. */
export function createLoop(
  step: (reasons: ReadonlySet<string>) => Promise<void>,
  onError: (error: unknown) => void,
): Loop {
  let reasons = new Set<string>()
  let running: Promise<void> | null = null
  let stopped = false

  const run = async (): Promise<void> => {
    while (reasons.size > 0 && !stopped) {
      const now = reasons
      reasons = new Set()
      await step(now).catch(onError)
    }
    running = null
  }

  return {
    trigger(reason) {
      if (stopped) return
      reasons.add(reason)
      running ??= Promise.resolve().then(run)
    },
    async stop() {
      stopped = true
      await running
    },
  }
}
