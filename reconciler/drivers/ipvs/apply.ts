import { BallastError } from '../../../schemas/ballast-error.ts'
import type { Edit, EditOutcome } from '../../../schemas/edit.ts'
import type { IpvsRow } from '../../../schemas/node-state.ts'
import { dropServices, putServices } from './apply-services.ts'
import { dropAddresses, dropDaemon, putAddresses, putDaemon, putTimeouts } from './apply-settings.ts'
import { claim, type Picked, release } from './claim.ts'
import { aborted, type Failures, outcomeOf } from './failures.ts'
import { type Owned, readOwned, writeOwned } from './owned-file.ts'
import { readSysctl, writeSysctl } from './sysctls.ts'

/**
 * Takes what is to be made into care, sets sysctls, writes services, and puts the addresses on their interface when
 * their services stand: an address without services answers with resets. What goes, goes after that and in the
 * opposite order but for the addresses, which go last.
 */
export async function applyIpvs(
  file: string,
  edits: readonly Edit<IpvsRow>[],
  signal: AbortSignal,
): Promise<EditOutcome[]> {
  const failures: Failures = new Map()
  const made = edits.flatMap(edit => (edit.op === 'delete' ? [] : [{ key: edit.key, row: edit.after }]))
  const gone = edits.flatMap(edit => (edit.op === 'delete' ? [{ key: edit.key, row: edit.before }] : []))
  for (const [picked, work] of [
    [made, make],
    [gone, remove],
  ] as const) {
    if (signal.aborted) for (const { key } of picked) failures.set(key, aborted())
    else if (picked.length > 0) await attempt(picked, failures, () => work(file, picked, failures))
  }
  return edits.map(({ key }) => outcomeOf(key, failures.get(key)))
}

async function make(file: string, made: readonly Picked[], failures: Failures): Promise<void> {
  const owned = await claim(await readOwned(file), made, failures)
  await writeOwned(file, owned)
  for (const one of ofKind(made, 'sysctl'))
    if (!failures.has(one.key)) await attempt([one], failures, () => writeSysctl(one.row.name, one.row.value))
  for (const one of ofKind(made, 'timeouts')) await attempt([one], failures, () => putTimeouts(one.row))
  for (const one of ofKind(made, 'sync')) await attempt([one], failures, () => putDaemon(one.row))
  const services = ofKind(made, 'service')
  await attempt(services, failures, () => putServices(owned, services, failures))
  const vips = ofKind(made, 'vip')
  await attempt(vips, failures, () => putAddresses(vips, failures))
  await disown(file, owned, made, failures)
}

/** What could not be made and is known by its name alone may be somebody else's tomorrow. */
async function disown(
  file: string,
  owned: Owned,
  made: readonly Picked[],
  failures: Failures,
): Promise<void> {
  const failed = made.filter(({ key }) => failures.has(key))
  const unmade = failed.filter(({ row }) => row.kind === 'sync' || row.kind === 'service')
  if (unmade.length > 0) await writeOwned(file, release(owned, unmade))
}

async function remove(file: string, gone: readonly Picked[], failures: Failures): Promise<void> {
  const owned = await readOwned(file)
  const services = ofKind(gone, 'service')
  await attempt(services, failures, () => dropServices(owned, services, failures))
  for (const one of ofKind(gone, 'sync'))
    if (owned.sync.includes(one.row.role)) await attempt([one], failures, () => dropDaemon(one.row))
  const { timeouts } = owned
  for (const one of ofKind(gone, 'timeouts'))
    if (timeouts !== null) await attempt([one], failures, () => putTimeouts(timeouts))
  for (const one of ofKind(gone, 'sysctl'))
    await attempt([one], failures, () => giveBack(owned, one.row.name))
  const vips = ofKind(gone, 'vip')
  await attempt(vips, failures, () => dropAddresses(owned, vips, failures))
  await writeOwned(
    file,
    release(
      owned,
      gone.filter(({ key }) => !failures.has(key)),
    ),
  )
}

async function giveBack(owned: Owned, name: string): Promise<void> {
  const earlier = owned.sysctls[name]
  // One of an interface that is gone needs nothing.
  if (earlier !== undefined && (await readSysctl(name)) !== null) await writeSysctl(name, earlier)
}

async function attempt(
  picked: readonly Picked[],
  failures: Failures,
  work: () => Promise<void>,
): Promise<void> {
  if (picked.length === 0) return
  try {
    await work()
  } catch (error) {
    if (!(error instanceof BallastError)) throw error
    for (const { key } of picked) if (!failures.has(key)) failures.set(key, error)
  }
}

function ofKind<Kind extends IpvsRow['kind']>(
  picked: readonly Picked[],
  kind: Kind,
): Picked<Extract<IpvsRow, { kind: Kind }>>[] {
  return picked.filter((one): one is Picked<Extract<IpvsRow, { kind: Kind }>> => one.row.kind === kind)
}
