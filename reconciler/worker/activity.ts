import type { Heartbeat } from '../../schemas/heartbeat.ts'
import { DriverName } from '../../schemas/node-state.ts'
import type { Drivers } from './converge.ts'

/** What a worker is at: whoever hears of it can tell long work from work that hangs. */
export interface Activity {
  /** The same drivers, whose calls are noted. */
  readonly drivers: Drivers
  /** Notes a round of the worker; each call of a driver that ends is a step forward. */
  round<Result>(work: () => Promise<Result>): Promise<Result>
  doing(): Heartbeat['doing']
}

const NOTED = ['observe', 'fingerprint', 'connections', 'apply'] as const

/** `now`: ms. */
export function noteActivity(drivers: Drivers, now: () => number): Activity {
  const calls = new Map<symbol, { readonly what: string; readonly since: number }>()
  /** When the round began, or last came further; null: there is none. */
  let stepAt: number | null = null

  async function note<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    const call = Symbol(what)
    calls.set(call, { what, since: now() })
    try {
      return await work()
    } finally {
      calls.delete(call)
      if (stepAt !== null) stepAt = now()
    }
  }

  function noteCalls<D extends object>(name: DriverName, driver: D): D {
    return new Proxy(driver, {
      get(target, property) {
        const value = Reflect.get(target, property, target) as unknown
        if (typeof value !== 'function') return value
        const method = value.bind(target) as (...args: unknown[]) => Promise<unknown>
        const isNoted = NOTED.some(each => each === property)
        return isNoted
          ? (...args: unknown[]) => note(`${name} ${String(property)}`, () => method(...args))
          : method
      },
    })
  }

  const noted = DriverName.options.flatMap(name => {
    const driver = drivers[name]
    return driver === undefined ? [] : [[name, noteCalls(name, driver)] as const]
  })
  return {
    drivers: Object.fromEntries(noted),
    async round(work) {
      stepAt = now()
      try {
        return await work()
      } finally {
        stepAt = null
      }
    },
    doing() {
      if (stepAt === null) return null
      const [oldest] = calls.values()
      const { what, since } = oldest ?? { what: 'its round', since: stepAt }
      return { what, forMs: Math.max(0, Math.round(now() - since)) }
    },
  }
}
