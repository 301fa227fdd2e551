import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchResult } from '../../schemas/bench.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { drawFleetSizes, type SizeFigures } from './draw-fleet-sizes.ts'
import { startLiveFleet } from './live-fleet.ts'
import { measureInTurns, WINDOWS } from './measure-in-turns.ts'
import { nodeNames, startSimulatedNodes } from './simulated-nodes.ts'

const SIZES = [100, 1_000, 5_000]
const NODES = nodeNames(10)
const SETTLE_MS = 2_000

/** One service changed of a small, a middle and a large fleet: what that costs per node, and the plot of it in docs/. */
export const fleetSizesBenchmark: Benchmark = {
  names: ['fleet_sizes'],
  async run({ say }) {
    const figures: SizeFigures[] = []
    const results: BenchResult[] = []
    for (const services of SIZES) {
      const pids: number[] = []
      const fleet = await startLiveFleet({
        size: { services, backends: 20, nodes: NODES },
        startNodes: async stateDir => {
          const programs = await startSimulatedNodes(NODES, 1, stateDir)
          pids.push(...programs.map(({ pid }) => pid))
          return programs
        },
        deadline: 120_000,
      })
      try {
        await delay(SETTLE_MS)
        for (let warming = 0; warming < 3; warming++) await fleet.pushChange()
        const whole = (await stat(join(fleet.stateDir, 'nodes', NODES[0]!, 'last-good.json'))).size
        const times: number[] = []
        const counted = await measureInTurns(
          async () => ({ bytes: await fleet.redisBytes(), cpu: await readCpu(pids) }),
          async () => times.push((await fleet.pushChange()).ms),
        )
        const bytes = Math.round(counted.bytes.difference / NODES.length)
        const cpu = counted.cpu.difference / NODES.length
        figures.push({ services, bytes, cpu, whole })
        say(`${services} services: ${bytes} bytes and ${cpu.toFixed(1)} ms of CPU per node`)
        results.push(
          milliseconds(`push_to_applied_${services}_services_p50`, times, 0.5),
          { name: `redis_bytes_per_node_${services}_services`, value: bytes, unit: 'bytes', n: WINDOWS },
          { ...milliseconds(`node_cpu_${services}_services`, [cpu], 0.5), n: WINDOWS },
        )
      } finally {
        await fleet.stop()
      }
    }
    const file = resolve(import.meta.dirname, '../../docs/fleet-sizes.svg')
    await writeFile(file, await drawFleetSizes(figures))
    say(`drew ${file}`)
    return results
  },
}

/** ms that all threads of processes have run so far (the first number of /proc/PID/task/TID/schedstat is ns). */
async function readCpu(pids: readonly number[]): Promise<number> {
  let ns = 0
  for (const pid of pids)
    for (const thread of await readdir(`/proc/${pid}/task`))
      ns += Number((await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')).split(' ')[0])
  return ns / 1e6
}
