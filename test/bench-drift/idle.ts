import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { labDown, labUp } from '../../reconciler/lab/lab.ts'
import { startProgram } from '../../reconciler/process/run-command.ts'
import type { Benchmark } from '../bench/benchmark.ts'
import { startLiveFleet } from '../bench/live-fleet.ts'
import { readCpuTime } from './cpu-time.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const NODE = 'lb-1'
/** V8 compiles what it has seen run some times, on other threads, for most of a minute. */
const SETTLE_MS = 60_000
const MEASURED_MS = 60_000

/**
 * What a worker costs that has nothing to do: CPU time of the process and its children over a minute, as part of one CPU. With the
 * settings that are the default: looks every 2 s, counters every 10 s, heartbeats.
 */
const idleBenchmark = (name: string, size: { services: number; backends: number }): Benchmark => ({
  names: [name],
  async run({ say }) {
    const lab = await labUp(`idle-${process.pid}`, process.pid)
    try {
      const pids: number[] = []
      const fleet = await startLiveFleet({
        size: { ...size, nodes: [NODE] },
        deadline: 300_000,
        async startNodes(stateDir) {
          const flags = ['--state-dir', stateDir, '--bpffs', lab.bpffs, '--log-level', 'warn']
          const command = [process.execPath, CLI, 'worker', '--node', NODE, ...flags] as const
          const worker = await startProgram(...lab.on(NODE, command), { stderr: 'inherit' })
          pids.push(worker.pid)
          return [worker]
        },
      })
      try {
        say(`${size.services} services with ${size.backends} backends each are up`)
        await delay(SETTLE_MS)
        const before = await readCpuTime(pids)
        const began = performance.now()
        await delay(MEASURED_MS)
        const used = (await readCpuTime(pids)) - before
        const share = (100 * used) / (performance.now() - began)
        return [{ name, value: Math.round(share * 100) / 100, unit: '%', n: 1 }]
      } finally {
        await fleet.stop()
      }
    } finally {
      await labDown(lab.name)
    }
  },
})

export const idleBenchmarks = [
  idleBenchmark('idle_cpu_percent', { services: 100, backends: 20 }),
  idleBenchmark('idle_cpu_percent_1000_100', { services: 1_000, backends: 100 }),
]
