import { createInterface } from 'node:readline'
import { runCommand, startProgram } from '../process/run-command.ts'
import type { Lab } from './lab.ts'
import { ROUTER } from './topology.ts'
import { waitUntil } from './wait-until.ts'

/** A change of the router's kernel routes. */
export interface RouteChange {
  /** ms since the epoch. */
  readonly at: number
  /** `203.0.113.10`, without a length when it is one address. */
  readonly prefix: string
  readonly isDeleted: boolean
  /** Interfaces that it leads over, sorted: one for every load balancer. */
  readonly over: readonly string[]
}

export interface RouteWatch {
  /** In the order in which they came. */
  readonly changes: readonly RouteChange[]
  stop(): Promise<void>
}

/** Follows what BIRD puts into the router's kernel. */
export async function watchRoutes(lab: Lab, onChange: () => void = () => {}): Promise<RouteWatch> {
  const changes: RouteChange[] = []
  const monitor = await startProgram(...lab.on(ROUTER, ['ip', '-o', 'monitor', 'route']), { stdout: 'pipe' })
  createInterface({ input: monitor.stdout! }).on('line', line => {
    const change = readRoute(line, Date.now())
    if (change === null) return
    changes.push(change)
    onChange()
  })
  return {
    changes,
    async stop() {
      await monitor.stop()
    },
  }
}

/** Waits until the router leads to a VIP over these load balancers, and no others; gives when, ms since the epoch. */
export const untilRouted = (
  lab: Lab,
  vip: string,
  over: readonly string[],
  { deadline = 60_000, signal }: { deadline?: number; signal?: AbortSignal } = {},
): Promise<number> =>
  waitUntil(
    { what: `the router to lead to ${vip} over ${over.join(' and ')}`, deadline, ...(signal && { signal }) },
    async () => {
      const route = (await readRoutes(lab)).find(({ prefix }) => prefix === vip)
      return (route?.over ?? []).join() === over.join() ? Date.now() : null
    },
  )

/** What the router's kernel has now. */
export async function readRoutes(lab: Lab): Promise<RouteChange[]> {
  const texts = await Promise.all(
    ['-4', '-6'].map(async family => {
      const { stdout } = await runCommand(
        ...lab.on(ROUTER, ['ip', family, '-o', 'route', 'show', 'proto', 'bird']),
      )
      return stdout
    }),
  )
  return texts.flatMap(text =>
    text.split('\n').flatMap(line => {
      const route = readRoute(`${line} proto bird`, 0)
      return route === null ? [] : [route]
    }),
  )
}

/** A line of `ip -o route` or `ip -o monitor route`; null: of no route that BIRD made. */
function readRoute(line: string, at: number): RouteChange | null {
  const words = line.replaceAll('\\', ' ').trim().split(/\s+/)
  const isDeleted = words[0] === 'Deleted'
  const prefix = isDeleted ? words[1] : words[0]
  if (prefix === undefined || !/^[\da-f][\da-f.:/]*$/i.test(prefix) || !/\bproto (bird|12)\b/.test(line))
    return null
  const over = words.flatMap((word, index) => (word === 'dev' ? [words[index + 1] ?? ''] : []))
  return { at, prefix, isDeleted, over: [...new Set(over)].sort() }
}
