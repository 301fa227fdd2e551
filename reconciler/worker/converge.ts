import { setTimeout as delay } from 'node:timers/promises'
import { asBallastError, type BallastError } from '../../schemas/ballast-error.ts'
import type { EditFailure } from '../../schemas/edit.ts'
import { DriverName, emptyTables, type NodeTables, type Rows } from '../../schemas/node-state.ts'
import type { Facts } from '../../schemas/report.ts'
import type { Digest } from '../../schemas/want.ts'
import type { Driver } from '../drivers/driver.ts'
import { compareAhead, diffNode, type NodeEdits } from '../plan/diff.ts'
import { orderEdits, type Phase } from '../plan/order.ts'
import { createBreather, inSteps } from '../process/breather.ts'

/** The drivers of this node; a table whose driver is absent must stay empty. */
export type Drivers = { readonly [D in DriverName]?: Driver<Rows[D]> }

export interface Seen {
  readonly tables: NodeTables
  /** Of just before each table was read: what a driver gives again has not changed since. */
  readonly fingerprints: Partial<Record<DriverName, string>>
  readonly digests: Partial<Record<DriverName, Digest>>
  readonly facts: Partial<Record<DriverName, Facts>>
  /** Why a driver's table could not be read; it is empty here then. */
  readonly unreadable: Partial<Record<DriverName, BallastError>>
}

export interface Convergence {
  readonly result: 'applied' | 'superseded' | 'failed'
  readonly edits: { create: number; update: number; delete: number }
  readonly failures: readonly EditFailure[]
  readonly seen: Seen
}

/** Reads every driver's table. Throws `BallastError` when none can be read. */
export async function observeNode(drivers: Drivers): Promise<Seen> {
  const seen: Seen = { tables: emptyTables(), fingerprints: {}, digests: {}, facts: {}, unreadable: {} }
  const names = DriverName.options.filter(name => drivers[name] !== undefined)
  for (const name of names)
    await observeInto(seen, drivers, name).catch((error: unknown) => {
      seen.unreadable[name] = asBallastError(error)
    })
  const errors = Object.values(seen.unreadable)
  if (errors.length > 0 && errors.length === names.length) throw errors[0]
  return seen
}

/**
 * What may be done with tables that cannot be read: nothing to them; and while nobody knows what is announced, no service
 * goes (rules 1, 2). The very `wanted` when all can be read.
 */
export function leaveUnreadable(wanted: NodeTables, { tables, unreadable }: Seen): NodeTables {
  const names = DriverName.options.filter(name => unreadable[name] !== undefined)
  if (names.length === 0) return wanted
  const left = Object.fromEntries(names.map(name => [name, tables[name]]))
  const kept =
    unreadable.bgp === undefined
      ? {}
      : { xdp: { ...tables.xdp, ...wanted.xdp }, ipvs: { ...tables.ipvs, ...wanted.ipvs } }
  return { ...wanted, ...kept, ...left }
}

export const unreadableFailures = ({ unreadable }: Seen): EditFailure[] =>
  DriverName.options.flatMap(driver => {
    const error = unreadable[driver]
    if (error === undefined) return []
    const { code, message, hint, retryable } = error
    return [{ driver, key: driver, code, message, hint, retryable }]
  })

/** Whether nothing was changed since it was read. Cheap. */
export async function isCurrent(seen: Seen, drivers: Drivers): Promise<boolean> {
  const unchanged = DriverName.options.map(
    async name =>
      seen.unreadable[name] === undefined &&
      (await drivers[name]?.fingerprint().catch(() => null)) === seen.fingerprints[name],
  )
  return (await Promise.all(unchanged)).every(same => same)
}

/** One for all: what was done in this turn before counts. */
const breathe = createBreather()

/** One that may be written to, by `converge`, while the other is shown. */
const copySeen = ({ tables, fingerprints, digests, facts, unreadable }: Seen): Seen => ({
  unreadable,
  tables: { ...tables },
  fingerprints: { ...fingerprints },
  digests: { ...digests },
  facts: { ...facts },
})

/**
 * Makes the node as wanted: diff, order, apply phase by phase, each read back before the next begins
 * (rule 2). Stops at the first phase that did not hold, so that nothing is announced that does not forward
 * and nothing is removed whose successor does not stand. Safe to repeat, safe to kill (rule 5).
 */
export async function converge(
  drivers: Drivers,
  wanted: NodeTables,
  before: Seen,
  signal: AbortSignal,
): Promise<Convergence> {
  const seen = copySeen(before)
  const edits = diffNode(wanted, seen.tables)
  const counts = countEdits(edits)
  await breathe()
  const missing = await refuseUnavailable(drivers, edits)
  if (missing.length > 0) return { result: 'failed', edits: counts, failures: missing, seen }
  for (const phase of orderEdits(edits)) {
    await breathe()
    if (signal.aborted) return { result: 'superseded', edits: counts, failures: [], seen }
    const failures = await applyPhase(drivers, phase, signal)
    const unmet = await readBack(drivers, phase, wanted, seen, failures)
    if (signal.aborted) return { result: 'superseded', edits: counts, failures: [], seen }
    if (unmet.length > 0) return { result: 'failed', edits: counts, failures: unmet, seen }
  }
  return { result: 'applied', edits: counts, failures: [], seen }
}

async function applyPhase(drivers: Drivers, phase: Phase, signal: AbortSignal): Promise<EditFailure[]> {
  const outcomes = await applyWith(drivers, phase, signal).catch((error: unknown) => {
    const { code, message, hint, retryable } = asBallastError(error)
    return phase.edits.map(({ key }) => ({ result: 'failed' as const, key, code, message, hint, retryable }))
  })
  return outcomes.flatMap(outcome => {
    if (outcome.result === 'applied') return []
    const { result: _, ...failure } = outcome
    return [{ driver: phase.driver, ...failure }]
  })
}

function applyWith(drivers: Drivers, phase: Phase, signal: AbortSignal) {
  switch (phase.driver) {
    case 'xdp':
      return drivers.xdp!.apply(phase.edits, signal)
    case 'ipvs':
      return drivers.ipvs!.apply(phase.edits, signal)
    case 'bgp':
      return drivers.bgp!.apply(phase.edits, signal)
  }
}

/** A BGP daemon sends what it was told a moment later. */
const SENT_WITHIN_MS = 2000
const LOOK_AGAIN_MS = 50

/** Reads the driver's table into `seen`. What failed, and what is not as written though it was let time. */
async function readBack(
  drivers: Drivers,
  phase: Phase,
  wanted: NodeTables,
  seen: Seen,
  failures: readonly EditFailure[],
): Promise<EditFailure[]> {
  const tries = phase.driver === 'bgp' ? SENT_WITHIN_MS / LOOK_AGAIN_MS : 1
  for (let attempt = 1; ; attempt += 1) {
    await observeInto(seen, drivers, phase.driver)
    await inSteps(compareAhead(wanted, seen.tables), breathe)
    const unmet = findUnmet(phase, wanted, seen, failures)
    if (unmet.length === 0 || attempt >= tries) return [...failures, ...unmet]
    await delay(LOOK_AGAIN_MS)
  }
}

/** Edits whose call went through, but which are not there when read back. */
function findUnmet(
  phase: Phase,
  wanted: NodeTables,
  seen: Seen,
  failures: readonly EditFailure[],
): EditFailure[] {
  const failed = new Set(failures.map(({ key }) => key))
  const left = new Set(diffNode(wanted, seen.tables)[phase.driver].map(({ key }) => key))
  return phase.edits
    .filter(({ key }) => left.has(key) && !failed.has(key))
    .map(({ key, op }) => ({
      driver: phase.driver,
      key,
      code: 'NOT_READ_BACK',
      message: `${op} of ${key} went through, but what is read back differs`,
      hint: 'Someone else may be writing the same tables; compare `ballast status --node` with what holds them.',
      retryable: true,
    }))
}

async function refuseUnavailable(drivers: Drivers, edits: NodeEdits): Promise<EditFailure[]> {
  const failures: EditFailure[] = []
  for (const driver of DriverName.options) {
    if (edits[driver].length === 0) continue
    const capabilities = await drivers[driver]?.capabilities()
    if (capabilities?.available) continue
    const reason = capabilities?.reason ?? `this node has no ${driver} driver`
    for (const { key } of edits[driver]) {
      failures.push({
        driver,
        key,
        code: 'DRIVER_UNAVAILABLE',
        message: reason,
        hint: `Nothing was touched. Mend it on the node, or take the node out of what needs ${driver}.`,
        retryable: true,
      })
    }
  }
  return failures
}

async function observeInto(seen: Seen, drivers: Drivers, name: DriverName): Promise<void> {
  const driver = drivers[name]
  if (driver === undefined) return
  const observation = await driver.observe()
  seen.fingerprints[name] = observation.fingerprint
  Object.assign(seen.tables, { [name]: observation.rows })
  seen.digests[name] = observation.digest
  seen.facts[name] = observation.facts
}

function countEdits(edits: NodeEdits): Convergence['edits'] {
  const all = DriverName.options.flatMap<{ op: 'create' | 'update' | 'delete' }>(name => edits[name])
  const count = (op: string): number => all.filter(edit => edit.op === op).length
  return { create: count('create'), update: count('update'), delete: count('delete') }
}
