import { readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchResult } from '../../schemas/bench.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { drawFleetSizes, type SizeFigures } from './draw-fleet-sizes.ts'
import { startLiveFleet } from './live-fleet.ts'
import { nodeNames, startSimulatedNodes } from './simulated-nodes.ts'

const SIZES = [100, 1_000, 5_000]
const NODES = nodeNames(10)
const PUSHES = 8
const SETTLE_MS = 2_000
/** Every node reports, and every want is read, once in this time without any news, ms. */
const PERIOD_MS = 10_000
/** Of proc_pid_stat(5): ticks of 10 ms. */
const TICK_MS = 10

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
        const idle = await measure(fleet, pids, () => delay(PERIOD_MS))
        const times: number[] = []
        const busy = await measure(fleet, pids, async () => {
          for (let push = 0; push < PUSHES; push++) times.push((await fleet.pushChange()).ms)
        })
        const share = busy.ms / idle.ms
        const perNode = (value: number): number => value / PUSHES / NODES.length
        const bytes = Math.round(perNode(busy.bytes - idle.bytes * share))
        const cpu = perNode(busy.cpu - idle.cpu * share)
        figures.push({ services, bytes, cpu, whole })
        say(`${services} services: ${bytes} bytes and ${cpu.toFixed(1)} ms of CPU per node`)
        results.push(
          milliseconds(`push_to_applied_${services}_services_p50`, times, 0.5),
          { name: `redis_bytes_per_node_${services}_services`, value: bytes, unit: 'bytes', n: PUSHES },
          { ...milliseconds(`node_cpu_${services}_services`, [cpu], 0.5), n: PUSHES },
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

async function measure(
  fleet: Awaited<ReturnType<typeof startLiveFleet>>,
  pids: readonly number[],
  work: () => Promise<void>,
) {
  const read = async () => ({
    bytes: await fleet.redisBytes(),
    cpu: await readCpu(pids),
    ms: performance.now(),
  })
  const before = await read()
  await work()
  const after = await read()
  return { bytes: after.bytes - before.bytes, cpu: after.cpu - before.cpu, ms: after.ms - before.ms }
}

/** ms that processes have run so far, in user and kernel mode. */
async function readCpu(pids: readonly number[]): Promise<number> {
  let ticks = 0
  for (const pid of pids) {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * TICK_MS
}
