import { join } from 'node:path'
import { NODE_FLAGS } from '../../reconciler/process/node-flags.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { composeFleet, composeService, serviceFile } from './sample-fleet.ts'
import { createSampleRepository } from './sample-repository.ts'

const SIZE = { services: 10_000, backends: 20, nodes: Array.from({ length: 10 }, (_, n) => `lb-${n}`) }
const PROCESSES = 3
const CHANGES = 15

/** Cold: a new process, until it has the plan of a revision of which nothing is known. Warm: of the next one. */
export const validatePlanBenchmark: Benchmark = {
  names: ['validate_plan_10k_cold', 'validate_plan_10k_warm', 'validate_plan_10k_rss'],
  async run({ dir, say }) {
    const repository = await createSampleRepository(dir)
    const texts = [...composeFleet(SIZE)]
    const revisions = [await repository.commit(texts)]
    for (let change = 0; change < CHANGES; change++) {
      const index = (change * 997) % SIZE.services
      revisions.push(
        await repository.commit([[serviceFile(index), composeService(index, SIZE.backends, 50)]]),
      )
    }
    await repository.push()
    const cold: number[] = []
    const cpu: number[] = []
    const warm: number[] = []
    const peaks: number[] = []
    const git: number[] = []
    const baselines: number[] = []
    for (let round = 0; round < PROCESSES; round++) {
      const started = performance.now()
      await runCommand('git', [
        '-C',
        repository.dir,
        'archive',
        '--format=tar',
        '-o',
        '/dev/null',
        revisions[0]!,
      ])
      git.push(performance.now() - started)
      const values = texts.map(([, text]) => JSON.stringify({ text }))
      const parsing = performance.now()
      for (const value of values) JSON.parse(value)
      baselines.push(performance.now() - parsing)
      const script = join(import.meta.dirname, 'validate-plan-process.ts')
      const { stdout } = await runCommand(
        process.execPath,
        [...NODE_FLAGS, script, repository.dir, ...revisions],
        {
          timeout: 120_000,
        },
      )
      const measured = JSON.parse(stdout) as { times: number[]; peak: number; cpu: number; updates: number }
      if (measured.updates !== CHANGES * SIZE.nodes.length)
        throw new Error(`planned ${measured.updates} updates`)
      say(`cold ${measured.times[0]?.toFixed()} ms, peak ${measured.peak.toFixed()} MiB`)
      cold.push(measured.times[0]!)
      cpu.push(measured.cpu)
      warm.push(...measured.times.slice(1))
      peaks.push(measured.peak)
    }
    return [
      milliseconds('validate_plan_10k_cold', cold, 0.5),
      milliseconds('validate_plan_10k_warm', warm, 0.5),
      { name: 'validate_plan_10k_rss', value: Math.round(Math.max(...peaks)), unit: 'MiB', n: PROCESSES },
      milliseconds('validate_plan_10k_cold_cpu', cpu, 0.5),
      milliseconds('git_archive_10k_baseline', git, 0.5),
      milliseconds('json_parse_10k_baseline', baselines, 0.5),
      milliseconds('validate_plan_10k_warm_p99', warm, 0.99),
    ]
  },
}
