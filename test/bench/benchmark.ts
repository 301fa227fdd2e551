import type { BenchResult } from '../../schemas/bench.ts'

export interface Benchmark {
  /** The figures that it gives; asking for one of them runs it. */
  readonly names: readonly string[]
  run(context: BenchContext): Promise<BenchResult[]>
}

export interface BenchContext {
  /** Of its own, removed after the run. */
  readonly dir: string
  /** Tells people how far it is. */
  say(text: string): void
}

/** Of at least one value; `share` 0.5 is the median, 0.99 the p99 (nearest rank). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))]!
}

export const milliseconds = (name: string, values: readonly number[], share: number): BenchResult => ({
  name,
  value: Math.round(quantile(values, share) * 100) / 100,
  unit: 'ms',
  n: values.length,
})
