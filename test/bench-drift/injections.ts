import { setTimeout as delay } from 'node:timers/promises'
import { readTrailers } from '../../reconciler/drift/drift-message.ts'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import type { BenchResult } from '../../schemas/bench.ts'
import type { LoadEvent } from '../../schemas/lab.ts'
import { type Benchmark, milliseconds, quantile } from '../bench/benchmark.ts'
import { createRandom, type Random } from '../faults/random.ts'
import { disagreeOnRing, INJECTIONS, type Injection, makeInjection } from '../lab/by-hand.ts'
import {
  BRANCH,
  type DriftLab,
  findOnFleet,
  HELD,
  isOpen,
  killNode,
  NODES,
  type Outcome,
  observeInjection,
  withDriftLab,
} from '../lab/drift-lab.ts'

const VICTIMS = 24
const COMMIT_AFTER_MS = 500
/** On one node. */
const AT_ONCE = 4
/** Repairs of one row that a new want forgets, before they are a fight. */
const REPAIRS_LEFT_ALONE = 3
/** One in so many rounds is about the fleet: a worker killed, rings that disagree. */
const FLEET_EVERY = 8
const SCAN_MS = 2_000
/** Of the fleet, found by asking from time to time. */
const CLOCK_MS = 1_000
/** What flaps waits for two minutes of quiet at most, with this COMMIT_AFTER_MS. */
const TOLD_WITHIN_MS = 240_000
const TIMEOUT_MS = 5_000
const LOAD = { interval: 20, timeout: TIMEOUT_MS }

/** What was found of a node or the fleet, and of no row. */
interface FleetOutcome {
  readonly name: string
  readonly node: string
  readonly at: number
  readonly detect: number | null
  readonly repaired: boolean
}

/**
 * Random injections on two load balancers, some at once, each waited for until it is repaired. A commit comes between them whenever a
 * row was repaired so often that the next time would be a fight.
 */
export const injectionBenchmark = (count: number, seed: number): Benchmark => ({
  names: ['detect_p50', 'detect_p99', 'injected', 'found', 'repaired', 'committed'],
  run: ({ say }) =>
    withDriftLab(
      { name: `drift-${process.pid}`, victims: VICTIMS, commitAfter: COMMIT_AFTER_MS },
      async drift => {
        say(`seed ${seed}`)
        const targets = ['203.0.113.10', drift.victims[0]!.vip, drift.victims[1]!.vip]
        const load = await startLoad(drift.lab, { ...LOAD, targets: targets.map(vip => `http://${vip}/`) })
        const { rows, fleet } = await injectAll(drift, { count, random: createRandom(seed), say })
        await delay(TIMEOUT_MS)
        await load.stop()
        const untold = await findUntold(drift, rows, fleet)
        for (const each of untold) say(`not committed: ${each}`)
        const committed = rows.length + fleet.length - untold.length
        return summarise({ rows, fleet, committed, events: load.events })
      },
    ),
})

interface Plan {
  readonly count: number
  readonly random: Random
  readonly say: (text: string) => void
}

async function injectAll(drift: DriftLab, { count, random, say }: Plan) {
  const rows: Outcome[] = []
  const fleet: FleetOutcome[] = []
  const repairs = new Map<string, number>()
  for (let round = 1; rows.length + fleet.length < count; round++) {
    if (round % FLEET_EVERY === 0)
      fleet.push(await (random.chance(0.5) ? killOne : disagree)(drift, random.pick(NODES)))
    const left = count - rows.length - fleet.length
    const chosen = NODES.flatMap(node => chooseSome(drift, node, random)).slice(0, left)
    const done = await Promise.all(
      chosen.map(async injection => {
        // Not all at the same moment of a scan.
        await delay(random.int(SCAN_MS))
        return observeInjection(drift, injection)
      }),
    )
    rows.push(...done)
    for (const { injection, detect, repaired } of done) {
      if (detect === null || !repaired) say(`${injection.name} on ${injection.node}: ${detect} ${repaired}`)
    }
    for (const node of NODES)
      for (const { driver, key, healedAt, since } of drift.report(node)?.drift ?? [])
        if (healedAt !== null && done.some(({ at }) => since >= at - 1))
          repairs.set(`${node} ${driver} ${key}`, (repairs.get(`${node} ${driver} ${key}`) ?? 0) + 1)
    if (Math.max(...repairs.values()) >= REPAIRS_LEFT_ALONE) {
      repairs.clear()
      await drift.pushSomething()
    } else await drift.settle()
    if (round % 10 === 0) say(`${rows.length + fleet.length} of ${count}`)
  }
  return { rows, fleet }
}

/** For one node at the same time: none that hides others, or undoes what another did by the same daemon. */
function chooseSome({ lab, victims }: DriftLab, node: string, random: Random): Injection[] {
  const chosen: Injection[] = []
  const left = [...victims]
  while (chosen.length < AT_ONCE) {
    const [victim] = left.splice(random.int(left.length), 1)
    const next = makeInjection(random.pick(Object.keys(INJECTIONS)), lab, node, victim!)
    const fits =
      next.touches !== 'all' &&
      chosen.every(({ driver, key }) => key !== next.key && (driver !== 'bgp' || next.driver !== 'bgp'))
    if (fits || chosen.length === 0) chosen.push(next)
    if (!fits) break
  }
  return chosen
}

async function killOne(drift: DriftLab, node: string): Promise<FleetOutcome> {
  const at = Date.now()
  const revive = await killNode(drift, node)
  const detect = await findOnFleet(drift, node, 'unreachable', at)
  await revive()
  const repaired = await goneFromFleet(drift, node, 'unreachable')
  return { name: 'node unreachable', node, at, detect, repaired }
}

async function disagree(drift: DriftLab, node: string): Promise<FleetOutcome> {
  const at = Date.now()
  const mend = await disagreeOnRing(drift.lab, node, HELD)
  const detect = await findOnFleet(drift, null, 'rings-disagree', at)
  await mend()
  const repaired = await goneFromFleet(drift, null, 'rings-disagree')
  await drift.settle()
  return { name: 'nodes disagree on a ring', node, at, detect, repaired }
}

const goneFromFleet = (drift: DriftLab, node: string | null, kind: string): Promise<boolean> =>
  waitUntil({ what: `${kind} to end`, deadline: 60_000 }, async () =>
    (await isOpen(drift, node, kind)) ? null : true,
  ).catch(() => false)

/** Those that the branch does not tell of, by place and time; once its tree is empty. */
async function findUntold(
  drift: DriftLab,
  rows: readonly Outcome[],
  fleet: readonly FleetOutcome[],
): Promise<string[]> {
  const wanted = [
    ...rows.map(({ injection, at, detect }) => ({ ...injection, since: at + (detect ?? 0) })),
    ...fleet.map(({ name, node, at, detect }) => ({
      ...{ name, since: at + (detect ?? 0) },
      ...(name === 'node unreachable'
        ? { node, key: 'report', kind: 'unreachable' }
        : { node: null, key: 'rings', kind: 'rings-disagree' }),
    })),
  ]
  const end = Date.now() + TOLD_WITHIN_MS
  for (;;) {
    const told = readTrailers(await drift.git('log', '--format=%B', BRANCH)).map(({ trailer }) => trailer)
    const untold = wanted.filter(
      ({ node, key, kind, since }) =>
        !told.some(
          each =>
            (node === null || each.node === node) &&
            each.key === key &&
            (each.kinds ?? [each.kind]).includes(kind) &&
            Date.parse(each.first) - CLOCK_MS <= since &&
            since <= Date.parse(each.healedAt ?? each.since) + CLOCK_MS,
        ),
    )
    const isEmpty = (await drift.git('ls-tree', '-r', BRANCH)) === ''
    if ((untold.length === 0 && isEmpty) || Date.now() > end) {
      if (!isEmpty) throw new Error('the last tree of the branch is not empty')
      return untold.map(({ name, node, key, kind, since }) => {
        const near = told.filter(each => (node === null || each.node === node) && each.key === key)
        return [
          `${name}: ${node} ${key} ${kind} at ${new Date(since).toISOString()}; what is told of it:`,
          ...near.map(each => JSON.stringify(each)),
        ].join('\n  ')
      })
    }
    await delay(1_000)
  }
}

interface Measured {
  readonly rows: readonly Outcome[]
  readonly fleet: readonly FleetOutcome[]
  readonly committed: number
  readonly events: readonly LoadEvent[]
}

function summarise({ rows, fleet, committed, events }: Measured): BenchResult[] {
  const all = [
    ...rows.map(({ injection: { name }, detect, repaired }) => ({ name, detect, repaired })),
    ...fleet,
  ]
  const found = all.flatMap(({ detect }) => detect ?? [])
  const n = all.length
  const drifts = (name: string, value: number): BenchResult => ({ name, value, unit: 'drifts', n })
  const failures = failuresOf(events)
  const requests = (name: string, value: number): BenchResult => ({
    ...{ name, value, unit: 'requests' },
    n: events.length,
  })
  return [
    milliseconds('detect_p50', found, 0.5),
    milliseconds('detect_p99', found, 0.99),
    ...[...Map.groupBy(all, ({ name }) => name)].map(([name, group]): BenchResult => {
      const times = group.flatMap(({ detect }) => detect ?? [])
      const value = times.length === 0 ? -1 : quantile(times, 0.99)
      return { name: `detect_p99_${name.replaceAll(' ', '_')}`, value, unit: 'ms', n: group.length }
    }),
    drifts('injected', n),
    drifts('found', found.length),
    drifts('repaired', all.filter(({ repaired }) => repaired).length),
    drifts('committed', committed),
    requests('failed_requests', failures.length),
    requests('failed_requests_unexplained', failures.filter(each => !isExplained(each, rows, fleet)).length),
  ]
}

/** Whether something that takes packets away was there while the request waited. */
function isExplained(
  { at, ms, target }: LoadEvent,
  rows: readonly Outcome[],
  fleet: readonly FleetOutcome[],
): boolean {
  const vip = new URL(target).hostname
  const began = at - ms
  return (
    rows.some(
      ({ injection: { touches }, at: from, end }) =>
        (touches === 'all' || touches.includes(vip)) && from <= at && began <= end,
    ) ||
    fleet.some(({ name, at: from }) => name === 'node unreachable' && from <= at && began <= from + 10_000)
  )
}
