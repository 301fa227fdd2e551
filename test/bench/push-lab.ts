import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { labDown, labUp } from '../../reconciler/lab/lab.ts'
import { type Program, runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { startLiveFleet } from './live-fleet.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const SIZE = { services: 1_000, backends: 20, nodes: ['lb-1', 'lb-2'] }
const PUSHES = 60
const SETTLE_MS = 3_000

/** The real thing: a reconciler, Redis, and on two load balancers of a lab a worker with the XDP driver, all processes of their own. */
export const pushLabBenchmark: Benchmark = {
  names: ['push_to_applied_p50', 'push_to_applied_p99'],
  async run({ dir, say }) {
    const name = `bench-${process.pid}`
    const lab = await labUp(name, process.pid)
    try {
      const startNodes = (stateDir: string): Promise<Program[]> =>
        Promise.all(
          SIZE.nodes.map(node => {
            const flags = ['--state-dir', stateDir, '--bpffs', lab.bpffs, '--log-level', 'warn']
            return startProgram(
              ...lab.on(node, [process.execPath, CLI, 'worker', '--node', node, ...flags]),
              {
                stderr: 'inherit',
              },
            )
          }),
        )
      const fleet = await startLiveFleet({ size: SIZE, startNodes, deadline: 120_000 })
      try {
        say('two load balancers are up')
        await delay(SETTLE_MS)
        for (let warming = 0; warming < 5; warming++) await fleet.pushChange()
        const applied: number[] = []
        const pushes: number[] = []
        const processes: number[] = []
        for (let push = 0; push < PUSHES; push++) {
          const { ms, push: took } = await fleet.pushChange()
          applied.push(ms)
          pushes.push(took)
          const started = performance.now()
          await runCommand('git', ['--git-dir', join(dir, 'none'), '--version'])
          processes.push(performance.now() - started)
        }
        say(`pushes: ${applied.map(ms => ms.toFixed()).join(' ')} ms`)
        return [
          milliseconds('push_to_applied_p50', applied, 0.5),
          milliseconds('push_to_applied_p99', applied, 0.99),
          milliseconds('git_push_baseline', pushes, 0.5),
          milliseconds('git_process_baseline', processes, 0.5),
        ]
      } finally {
        await fleet.stop()
      }
    } finally {
      await labDown(name)
    }
  },
}
