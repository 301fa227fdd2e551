export interface Bell {
  ring(): void
  heard(): Promise<void>
}

/** Rung any number of times, it is heard once. */
export function createBell(): Bell {
  let next = Promise.withResolvers<void>()
  return {
    ring: () => next.resolve(),
    async heard() {
      await next.promise
      next = Promise.withResolvers()
    },
  }
}
