import { setTimeout as delay } from 'node:timers/promises'
import type { BenchResult } from '../../schemas/bench.ts'
import { type Benchmark, milliseconds, quantile } from './benchmark.ts'
import { startLiveFleet } from './live-fleet.ts'
import { nodeNames, startSimulatedNodes } from './simulated-nodes.ts'

const SERVICES = 1_000
const BACKENDS = 20

/** Until what came with the start (first pushes, heartbeats in step) is over, ms. */
const SETTLE_MS = 3_000

function benchmarkOf(nodes: number, { processes, pushes }: { processes: number; pushes: number }): Benchmark {
  const name = `push_to_applied_${nodes}_nodes_p99`
  const withBytes = nodes === 100
  return {
    names: withBytes ? [name, 'redis_bytes_per_push'] : [name],
    async run({ say }) {
      const names = nodeNames(nodes)
      const fleet = await startLiveFleet({
        size: { services: SERVICES, backends: BACKENDS, nodes: names },
        startNodes: stateDir => startSimulatedNodes(names, processes, stateDir),
        deadline: 180_000,
      })
      try {
        say(`${nodes} nodes are up`)
        await delay(SETTLE_MS)
        const times: number[] = []
        for (let warming = 0; warming < 3; warming++) await fleet.pushChange()
        for (let push = 0; push < pushes; push++) times.push((await fleet.pushChange()).ms)
        say(`pushes: ${times.map(ms => ms.toFixed()).join(' ')} ms`)
        const results = [
          milliseconds(name, times, 0.99),
          milliseconds(name.replace('p99', 'p50'), times, 0.5),
        ]
        return withBytes ? [...results, ...(await countBytes(fleet, say))] : results
      } finally {
        await fleet.stop()
      }
    },
  }
}

/** Of each kind of window. */
const WINDOWS = 15
/**
 * A whole period of what nodes do at rest (BullMQ looks for stalled jobs every 2 s), and no more: the heartbeats of all
 * nodes come 10 s after a push, so that none are left when one follows the other sooner.
 */
const WINDOW_MS = 2_000

/**
 * Bytes in a time with a push, less those in a time as long without one, in turns; medians, since all wants are read
 * again once in 10 s, which falls into few of either.
 */
async function countBytes(
  fleet: Awaited<ReturnType<typeof startLiveFleet>>,
  say: (text: string) => void,
): Promise<BenchResult[]> {
  const pushed: number[] = []
  const idle: number[] = []
  const during = async (work: () => Promise<unknown>): Promise<number> => {
    const before = await fleet.redisBytes()
    await Promise.all([work(), delay(WINDOW_MS)])
    return (await fleet.redisBytes()) - before
  }
  for (let window = 0; window < WINDOWS; window++) {
    pushed.push(await during(() => fleet.pushChange()))
    idle.push(await during(async () => {}))
  }
  say(`bytes with a push: ${pushed.join(' ')}, without: ${idle.join(' ')}`)
  const [of, without] = [quantile(pushed, 0.5), quantile(idle, 0.5)]
  return [
    { name: 'redis_bytes_per_push', value: Math.round(of - without), unit: 'bytes', n: WINDOWS },
    { name: 'redis_bytes_idle_baseline', value: Math.round(without), unit: 'bytes', n: WINDOWS },
  ]
}

export const pushSimulatedBenchmarks: readonly Benchmark[] = [
  benchmarkOf(100, { processes: 2, pushes: 30 }),
  benchmarkOf(1_000, { processes: 4, pushes: 10 }),
]
