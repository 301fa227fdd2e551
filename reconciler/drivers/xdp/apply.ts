import { BallastError } from '../../../schemas/ballast-error.ts'
import type { Edit, EditOutcome } from '../../../schemas/edit.ts'
import type { RowKey, XdpRow } from '../../../schemas/node-state.ts'
import { dropInterface, putInterface } from './apply-interfaces.ts'
import { dropServices, putServices, type ServiceContext } from './apply-services.ts'
import { dropSettings, putSettings, type SettingsContext } from './apply-settings.ts'
import { openDataplane } from './dataplane.ts'
import { aborted, type Failures, noSettings, outcomeOf } from './failures.ts'
import { resolveNextHops } from './next-hops/keep-next-hops.ts'

export type ApplyContext = SettingsContext & Omit<ServiceContext, 'dataplane'>

/**
 * Settings, then services, then interfaces; what goes, goes in the opposite order: no packet meets a program
 * whose services are not there yet, or not any more (rule 2).
 */
export async function applyXdp(
  context: ApplyContext,
  edits: readonly Edit<XdpRow>[],
): Promise<EditOutcome[]> {
  const { pins, signal, breathe } = context
  const failures: Failures = new Map()
  const attempt = async (keys: readonly RowKey[], work: () => Promise<void>): Promise<void> => {
    if (keys.length === 0) return
    try {
      await breathe()
      if (signal.aborted) throw aborted()
      await work()
    } catch (error) {
      if (!(error instanceof BallastError)) throw error
      for (const key of keys) failures.set(key, error)
    }
  }

  for (const { key, row } of pick(edits, 'settings', 'made')) {
    await attempt([key], () => putSettings(context, row))
  }
  const services = pick(edits, 'service', 'made')
  const l2 = services.filter(({ row }) => row.encapsulation === 'l2')
  await attempt(keysOf(l2), () =>
    resolveNextHops(
      context,
      l2.map(({ row }) => row),
    ),
  )
  await attempt(keysOf(services), async () => {
    using dataplane = openDataplane(pins)
    if (dataplane === undefined) throw noSettings()
    await breathe()
    const rows = services.map(({ row }) => row)
    for (const [key, error] of await putServices({ ...context, dataplane }, rows)) failures.set(key, error)
  })
  for (const { key, row } of pick(edits, 'interface', 'made')) {
    await attempt([key], async () => {
      using dataplane = openDataplane(pins)
      if (dataplane === undefined) throw noSettings()
      return putInterface(pins, dataplane, row)
    })
  }

  for (const { key, row } of pick(edits, 'interface', 'gone')) {
    await attempt([key], async () => dropInterface(pins, row.name))
  }
  const left = keysOf(pick(edits, 'service', 'gone'))
  await attempt(left, async () => {
    using dataplane = openDataplane(pins)
    if (dataplane !== undefined) await dropServices({ ...context, dataplane }, left)
  })
  for (const { key } of pick(edits, 'settings', 'gone')) await attempt([key], () => dropSettings(context))

  return edits.map(({ key }) => outcomeOf(key, failures.get(key)))
}

type RowOf<Kind extends XdpRow['kind']> = Extract<XdpRow, { kind: Kind }>

/** The rows of one kind that are to be made, or to go. */
function pick<Kind extends XdpRow['kind']>(
  edits: readonly Edit<XdpRow>[],
  kind: Kind,
  fate: 'made' | 'gone',
): { key: RowKey; row: RowOf<Kind> }[] {
  const isKind = (row: XdpRow): row is RowOf<Kind> => row.kind === kind
  return edits.flatMap(edit => {
    const row = edit.op === 'delete' ? edit.before : edit.after
    return isKind(row) && (edit.op === 'delete') === (fate === 'gone') ? [{ key: edit.key, row }] : []
  })
}

const keysOf = (picked: readonly { key: RowKey }[]): RowKey[] => picked.map(({ key }) => key)
