import { join } from 'node:path'
import { WORKER_FLAGS } from '../../reconciler/process/node-flags.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import type { LongestTurn } from './watch-turns.ts'

const CHANGES = 100

interface Loaded {
  readonly load: number
  readonly cpu: number
  readonly loading: number
  readonly loadingTurn: LongestTurn
  readonly adds: readonly number[]
  readonly addCpu: number
  readonly adding: number
  readonly addingTurn: LongestTurn
  readonly kernel: number
}

/**
 * 1,000 services × 100 backends into the kernel, by the XDP driver: of 10 pools, and each of its own, by a process that is
 * started as a release starts a worker. Needs root.
 */
export const loadXdpBenchmark: Benchmark = {
  names: [
    'load_1000_shared',
    'load_1000_distinct',
    'load_kernel_memory',
    'add_backend_p50',
    'add_backend_p99',
    'event_loop_longest',
  ],
  async run({ say }) {
    const load = async (pools: number): Promise<Loaded> => {
      const script = join(import.meta.dirname, 'load-xdp-process.ts')
      const args = [...WORKER_FLAGS, script, String(pools), String(CHANGES)]
      const { stdout } = await runCommand(process.execPath, args, { timeout: 240_000 })
      const loaded = JSON.parse(stdout) as Loaded
      say(`${pools} pools: ${loaded.load.toFixed()} ms, of CPU time ${loaded.cpu.toFixed()} ms`)
      return loaded
    }
    const shared = await load(10)
    const distinct = await load(1000)
    const longest = [shared, distinct].flatMap(({ loading, adding }) => [loading, adding])
    const turns = [shared, distinct].flatMap(({ loadingTurn, addingTurn }) => [loadingTurn, addingTurn])
    const longestOf = (part: keyof LongestTurn) => turns.map(turn => turn[part])
    return [
      milliseconds('load_1000_shared', [shared.load], 0.5),
      milliseconds('load_1000_distinct', [distinct.load], 0.5),
      milliseconds('load_1000_shared_cpu', [shared.cpu], 0.5),
      milliseconds('load_1000_distinct_cpu', [distinct.cpu], 0.5),
      { name: 'load_kernel_memory', value: Math.round(distinct.kernel), unit: 'MiB', n: 1 },
      milliseconds('add_backend_p50', distinct.adds, 0.5),
      milliseconds('add_backend_p99', distinct.adds, 0.99),
      milliseconds('add_backend_cpu', [distinct.addCpu], 0.5),
      milliseconds('event_loop_longest', longest, 1),
      milliseconds('event_loop_longest_cpu', longestOf('cpu'), 1),
      milliseconds('event_loop_longest_own', longestOf('own'), 1),
      milliseconds('event_loop_longest_collection', longestOf('collection'), 1),
      milliseconds('event_loop_adding_own', [shared.addingTurn.own, distinct.addingTurn.own], 1),
    ]
  },
}
