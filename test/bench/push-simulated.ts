import { setTimeout as delay } from 'node:timers/promises'
import type { BenchResult } from '../../schemas/bench.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { startLiveFleet } from './live-fleet.ts'
import { measureInTurns, WINDOWS } from './measure-in-turns.ts'
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

async function countBytes(
  fleet: Awaited<ReturnType<typeof startLiveFleet>>,
  say: (text: string) => void,
): Promise<BenchResult[]> {
  const { bytes } = await measureInTurns(
    async () => ({ bytes: await fleet.redisBytes() }),
    () => fleet.pushChange(),
  )
  say(`bytes with a push: ${bytes.with.join(' ')}, without: ${bytes.without.join(' ')}`)
  return [
    { name: 'redis_bytes_per_push', value: Math.round(bytes.difference), unit: 'bytes', n: WINDOWS },
    { name: 'redis_bytes_idle_baseline', value: Math.round(bytes.baseline), unit: 'bytes', n: WINDOWS },
  ]
}

export const pushSimulatedBenchmarks: readonly Benchmark[] = [
  benchmarkOf(100, { processes: 2, pushes: 30 }),
  benchmarkOf(1_000, { processes: 4, pushes: 10 }),
]
