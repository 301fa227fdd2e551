import type { DriftEffect } from '../../schemas/drift-record.ts'
import { XdpRow, type XdpServiceRow } from '../../schemas/node-state.ts'
import type { DriftItem } from '../../schemas/report.ts'
import { createRingComparer } from '../ring/ring-comparer.ts'

/** Measures what drift does to traffic; remembers what it measured, since nodes report the same again and again. */
export type MeasureEffect = (item: DriftItem) => DriftEffect

const COMPARISONS_KEPT = 64
const EFFECTS_KEPT = 4096

export function createEffectMeter(): MeasureEffect {
  const compareRings = createRingComparer(COMPARISONS_KEPT)
  const known = new Map<string, DriftEffect>()
  return item => {
    const name = JSON.stringify([item.kind, item.key, item.desired, item.observed])
    const effect = known.get(name) ?? measure(item, compareRings)
    // The one used longest ago is first.
    known.delete(name)
    known.set(name, effect)
    if (known.size > EFFECTS_KEPT) known.delete(known.keys().next().value!)
    return effect
  }
}

function measure(item: DriftItem, compareRings: ReturnType<typeof createRingComparer>): DriftEffect {
  if (item.driver === 'bgp') return { share: null, text: describeAnnouncing(item) }
  const [desired, observed] = [readRow(item.desired), readRow(item.observed)]
  const row = desired ?? observed
  if (row === null) return { share: null, text: 'effect on traffic not known' }
  switch (row.kind) {
    case 'service':
      return measureService(serviceOf(desired), serviceOf(observed), compareRings)
    case 'interface':
      if (item.kind === 'missing' || (observed?.kind === 'interface' && observed.program !== undefined))
        return { share: 1, text: `all flows that arrive on ${row.name}` }
      return { share: 0, text: 'no flows' }
    case 'settings':
      return item.kind === 'missing'
        ? { share: 1, text: 'all flows of the node' }
        : { share: null, text: 'how every packet is handled' }
  }
}

/** What routers make of it is theirs. */
function describeAnnouncing({ key, kind }: DriftItem): string {
  const [what] = key.split('/')
  if (what === 'route') {
    if (kind === 'missing') return 'routers lead none of its flows to this node'
    return kind === 'unexpected' ? 'routers lead flows here' : 'routers may choose otherwise'
  }
  if (kind !== 'missing') return 'effect on traffic not known'
  return what === 'speaker' ? 'nothing is announced by this node' : 'this peer leads no flows here'
}

function measureService(
  desired: XdpServiceRow | null,
  observed: XdpServiceRow | null,
  compareRings: ReturnType<typeof createRingComparer>,
): DriftEffect {
  if (desired === null) return { share: 0, text: 'no flows of what is wanted' }
  if (observed === null || observed.ring.slots === 0) return { share: 1, text: 'all of its flows' }
  const { moved, slots } = compareRings(desired.backends, observed.backends)
  const share = Math.min(1, Math.max(moved, observed.ring.differing) / slots)
  return { share, text: share === 0 ? 'no new flows' : `${renderShare(share)} of its flows` }
}

const serviceOf = (row: XdpRow | null): XdpServiceRow | null => (row?.kind === 'service' ? row : null)

/** Null for no row, and for one of a shape that this version does not know. */
export const readRow = (value: unknown): XdpRow | null => XdpRow.safeParse(value).data ?? null

/** `31%`, `0.4%`, `<0.1%`. */
export function renderShare(share: number): string {
  const percent = 100 * share
  if (percent > 0 && percent < 0.1) return '<0.1%'
  return percent >= 10 || percent === 0 ? `${Math.round(percent)}%` : `${percent.toFixed(1)}%`
}
