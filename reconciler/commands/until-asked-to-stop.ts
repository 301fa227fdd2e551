/** Settles at the first SIGINT or SIGTERM; a second one ends the process at once. */
export const untilAskedToStop = (): Promise<void> =>
  new Promise(resolve => {
    let asked = false
    const ask = (): void => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on('SIGINT', ask)
    process.on('SIGTERM', ask)
  })
