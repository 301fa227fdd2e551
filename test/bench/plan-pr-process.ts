import { readFileSync } from 'node:fs'
import { createEvaluator } from '../../reconciler/controller/evaluate.ts'
import { planOnThreads } from '../../reconciler/controller/plan-on-threads.ts'
import { sideOf } from '../../reconciler/controller/plan-side.ts'
import { makeFleetPlan, type PlanSide } from '../../reconciler/plan/plan-fleet.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'

/**
 * `node plan-pr-process.ts REPOSITORY BASE HEAD`: evaluates the base, as a reconciler that runs has, then plans the head
 * against it; prints the ms from there to the plan, how many services it changes, and the peak of memory, MiB.
 */
const [dir = '', base = '', head = ''] = process.argv.slice(2)
const repository = await openRepository({ dir })
const evaluate = createEvaluator(repository, '')
const before = await readSide(base)
// What is accepted was planned itself.
makeFleetPlan({ before: { ...before, nodes: new Map() }, after: before })
const cpuBefore = process.cpuUsage()
const started = performance.now()
const { plan } = await planOnThreads({ before, after: await readSide(head) })
const took = performance.now() - started
const { user, system } = process.cpuUsage(cpuBefore)
const cpu = (user + system) / 1000
process.stdout.write(`${JSON.stringify({ took, cpu, updates: plan.totals.update, peak: readPeak() })}\n`)
process.exit()

async function readSide(revision: string): Promise<PlanSide> {
  const { fleet, manifests, diagnostics } = await evaluate(revision)
  if (fleet === null) throw new Error(JSON.stringify(diagnostics.slice(0, 3)))
  return sideOf({ revision, fleet, manifests })
}

/** Of this process and its threads, MiB (VmHWM of proc_pid_status(5)). */
function readPeak(): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
}
