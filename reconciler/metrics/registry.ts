import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** Everything that one process measures; names and units as prometheus.io/docs/practices/naming has them. */
export interface Metrics {
  readonly registry: Registry
  /** Run before each scrape, to read what is not counted here. */
  beforeScrape(collect: () => Promise<void>): void
  /** The text format, with its content type. */
  scrape(): Promise<{ readonly text: string; readonly contentType: string }>
}

/** Scrapes closer together than this see the same, ms. */
const SAME_FOR_MS = 1_000

export function createMetrics(version: string, now: () => number): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'ballast_build_info',
    help: 'Always 1; the version of Ballast is a label.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
  const collectors: (() => Promise<void>)[] = []
  let last: { at: number; text: Promise<string> } | null = null

  async function collect(): Promise<string> {
    for (const each of collectors) await each()
    return registry.metrics()
  }

  return {
    registry,
    beforeScrape(collector) {
      collectors.push(collector)
    },
    async scrape() {
      if (last === null || now() - last.at >= SAME_FOR_MS) last = { at: now(), text: collect() }
      try {
        return { text: await last.text, contentType: registry.contentType }
      } catch (error) {
        last = null
        throw error
      }
    },
  }
}
