import { randomBytes } from 'node:crypto'
import { buildRing } from '../../reconciler/ring/maglev.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'

const BACKENDS = 100
const ROUNDS = 200

/** New backends in every round, of uneven weights: nothing is remembered from one ring to the next. */
export const ringBenchmark: Benchmark = {
  names: ['ring_65537_100'],
  async run() {
    const times: number[] = []
    const baseline: number[] = []
    for (let round = 0; round < 20 + ROUNDS; round++) {
      const backends = Array.from({ length: BACKENDS }, (_, index) => ({
        address: `10.${round}.${randomBytes(1)[0]}.${index}`,
        weight: 1 + ((index * 7) % 100),
      }))
      const started = performance.now()
      buildRing(backends)
      const built = performance.now()
      new Uint16Array(RING_SLOTS).fill(round)
      if (round < 20) continue
      times.push(built - started)
      baseline.push(performance.now() - built)
    }
    return [milliseconds('ring_65537_100', times, 0.5), milliseconds('ring_fill_baseline', baseline, 0.5)]
  },
}
