import { join } from 'node:path'
import { NODE_FLAGS } from '../../reconciler/process/node-flags.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { composeFleet, composeService, serviceFile } from './sample-fleet.ts'
import { createSampleRepository } from './sample-repository.ts'

const SIZE = { services: 10_000, backends: 20, nodes: Array.from({ length: 100 }, (_, n) => `lb-${n}`) }
const PROCESSES = 3

/** A pull request that changes the weight of a backend of one service, or of every one: from its revision to its plan. */
export const planPrBenchmark: Benchmark = {
  names: ['plan_pr_one_of_10k', 'plan_pr_all_10k', 'plan_pr_rss'],
  async run({ dir, say }) {
    const repository = await createSampleRepository(dir)
    const base = await repository.commit(composeFleet(SIZE))
    const one = await repository.commit([[serviceFile(7), composeService(7, SIZE.backends, 50)]])
    const all = await repository.commit(
      Array.from({ length: SIZE.services }, (_, n) => [serviceFile(n), composeService(n, SIZE.backends, 60)]),
    )
    await repository.push()
    const script = join(import.meta.dirname, 'plan-pr-process.ts')
    const plan = async (head: string, updates: number) => {
      const { stdout } = await runCommand(
        process.execPath,
        [...NODE_FLAGS, script, repository.dir, base, head],
        {
          timeout: 300_000,
        },
      )
      const measured = JSON.parse(stdout) as { took: number; updates: number; peak: number }
      if (measured.updates !== updates) throw new Error(`planned ${measured.updates} updates`)
      say(`${measured.took.toFixed()} ms, peak ${measured.peak.toFixed()} MiB`)
      return measured
    }
    const ones = []
    for (let round = 0; round < PROCESSES; round++) ones.push(await plan(one, SIZE.nodes.length))
    const { took } = await plan(all, SIZE.services * SIZE.nodes.length)
    const peak = Math.max(...ones.map(each => each.peak))
    return [
      milliseconds(
        'plan_pr_one_of_10k',
        ones.map(each => each.took),
        0.5,
      ),
      milliseconds('plan_pr_all_10k', [took], 0.5),
      { name: 'plan_pr_rss', value: Math.round(peak), unit: 'MiB', n: PROCESSES },
    ]
  },
}
