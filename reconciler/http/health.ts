import type { Liveness, Readiness, ReadinessCheck } from '../../schemas/api/readiness.ts'
import type { App } from './app.ts'

export interface HealthOptions {
  readonly version: string
  /** What it takes to do its work; each gives what is wrong as a check that is not ok, and does not throw. */
  readonly checks: () => Promise<readonly ReadinessCheck[]>
  readonly now: () => number
}

/** Questions closer together than this get the same answer, ms. */
const SAME_FOR_MS = 500

export function addHealth(app: App, { version, checks, now }: HealthOptions): void {
  let last: { at: number; checks: Promise<readonly ReadinessCheck[]> } | null = null
  app.get('/healthz', context => context.json({ alive: true, version } satisfies Liveness))
  app.get('/readyz', async context => {
    if (last === null || now() - last.at >= SAME_FOR_MS) last = { at: now(), checks: checks() }
    const found = await last.checks
    const ready = found.every(({ ok }) => ok)
    return context.json({ ready, checks: [...found] } satisfies Readiness, ready ? 200 : 503)
  })
}

/** A check that is ok when `look` gives words, and not when it throws. */
export async function check(name: string, look: () => Promise<string>): Promise<ReadinessCheck> {
  try {
    return { name, ok: true, detail: await look() }
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error) }
  }
}
