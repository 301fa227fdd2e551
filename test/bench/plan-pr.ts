import { join } from 'node:path'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { bundleProgram, runProgram } from './released-process.ts'
import { composeFleet, composeService, serviceFile } from './sample-fleet.ts'
import { createSampleRepository } from './sample-repository.ts'

const SIZE = { services: 10_000, backends: 20, nodes: Array.from({ length: 100 }, (_, n) => `lb-${n}`) }
/** Of each. */
const PROCESSES = { one: 5, all: 3 }

interface Measured {
  readonly took: number
  readonly updates: number
  readonly peak: number
}

/**
 * A pull request that changes the weight of a backend of one service, or of every one: from its revision to its plan, by a
 * process as the release starts it.
 */
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
    const program = await bundleProgram(join(import.meta.dirname, 'plan-pr-process.ts'), dir)
    const plan = async (head: string, updates: number) => {
      const measured = (await runProgram(program, repository.dir, base, head)) as Measured
      if (measured.updates !== updates) throw new Error(`planned ${measured.updates} updates`)
      say(`${measured.took.toFixed()} ms, peak ${measured.peak.toFixed()} MiB`)
      return measured
    }
    const ones: Measured[] = []
    for (let round = 0; round < PROCESSES.one; round++) ones.push(await plan(one, SIZE.nodes.length))
    const alls: Measured[] = []
    for (let round = 0; round < PROCESSES.all; round++)
      alls.push(await plan(all, SIZE.services * SIZE.nodes.length))
    const took = (measured: readonly Measured[]) => measured.map(each => each.took)
    const peak = Math.round(Math.max(...ones.map(each => each.peak)))
    return [
      milliseconds('plan_pr_one_of_10k', took(ones), 0.5),
      milliseconds('plan_pr_all_10k', took(alls), 0.5),
      { name: 'plan_pr_rss', value: peak, unit: 'MiB', n: PROCESSES.one },
    ]
  },
}
