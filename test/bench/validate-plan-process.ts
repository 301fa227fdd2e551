import { readFileSync } from 'node:fs'
import { createEvaluator, type Evaluation } from '../../reconciler/controller/evaluate.ts'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'

/**
 * `node validate-plan-process.ts REPOSITORY REVISION...`: evaluates the revisions in turn in one process, plans each
 * against the one before (the first against nothing), and prints the ms
 * that each took; of the first also its peak of memory, MiB, and its CPU time, ms.
 */
const [dir = '', ...revisions] = process.argv.slice(2)
const times: number[] = []
let peak = 0
let cpu = 0
let before: Evaluation | null = null
let updates = 0
const started = performance.now()
const repository = await openRepository({ dir })
const evaluate = createEvaluator(repository, '')
let since = started
for (const revision of revisions) {
  const evaluation = await evaluate(revision)
  if (evaluation.fleet === null) throw new Error(JSON.stringify(evaluation.diagnostics.slice(0, 3)))
  const plan = planFleet({
    base: before?.revision ?? null,
    head: revision,
    before: tablesOf(before),
    after: tablesOf(evaluation),
    names: {},
  })
  updates += plan.totals.update
  before = evaluation
  times.push(performance.now() - since)
  since = performance.now()
  if (times.length === 1) {
    peak = readPeak()
    const { user, system } = process.cpuUsage()
    cpu = (user + system) / 1000
  }
}
process.stdout.write(`${JSON.stringify({ times, peak, cpu, updates })}\n`)
process.exit()

function tablesOf(evaluation: Evaluation | null) {
  return new Map([...(evaluation?.fleet?.nodes ?? [])].map(([node, { state }]) => [node, state.tables]))
}

/** Of this process and its threads, MiB (VmHWM of proc_pid_status(5)). */
function readPeak(): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
}
