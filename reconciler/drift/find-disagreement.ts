import { z } from 'zod'
import { DRIFT_RECORD_VERSION, type DriftEffect, type DriftRecord } from '../../schemas/drift-record.ts'
import { RowKey } from '../../schemas/node-state.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { SILENT_AFTER_MS } from './find-fleet-drift.ts'
import { type MeasureEffect, renderShare } from './traffic-effect.ts'

export interface RingsInput {
  /** Of nodes that serve the same, by name. */
  readonly reports: readonly NodeReport[]
  readonly now: number
  /** When each was first seen to disagree, ms since the epoch. */
  readonly since: ReadonlyMap<string, number>
  /** The Service of each row of these nodes. */
  readonly names: Readonly<Record<RowKey, string>>
  readonly measure: MeasureEffect
}

/** Of one revision, both applied: what is repaired at once is no disagreement. */
export const CONVERGES_WITHIN_MS = 400

/** A service whose ring is the cause, as far as nodes report drift of it: `observed.services` of the record. */
export const OtherRing = z.object({
  key: RowKey,
  service: z.string().nullable(),
  /** Where it drifted: the node itself, or one of those that it disagrees with. */
  node: z.string(),
  /** Slots that lead elsewhere; null: nobody asked for the service. */
  slots: z.int().nullable(),
})
type OtherRing = z.infer<typeof OtherRing>

/** Named one by one: nodes that agree, and services, in a record. */
const NAMED = 100

/**
 * Nodes that serve the same, have applied the same revision (or hold what drifted from it), and choose other backends than most of them: a packet that
 * ECMP sends there goes elsewhere (rule 4). `since` is to be remembered; those that are only converging are told in it alone.
 */
export function findDisagreement(input: RingsInput): {
  readonly records: readonly DriftRecord[]
  readonly since: ReadonlyMap<string, number>
} {
  const { reports, now, since } = input
  const fresh = reports.filter(
    ({ at, outcome, paused, ringsDigest }) =>
      (outcome === 'applied' || (outcome === 'held' && paused == null)) &&
      ringsDigest !== null &&
      now - at <= SILENT_AFTER_MS,
  )
  const byRevision = Map.groupBy(fresh, ({ want }) => want?.revision ?? '')
  const disagreeing = [...byRevision.values()].flatMap(group => {
    const [most, ...others] = [...Map.groupBy(group, ({ ringsDigest }) => ringsDigest!).values()].sort(
      byTrust,
    )
    return others.flatMap(few => few.map(report => ({ report, most: most! })))
  })
  const first = new Map(
    disagreeing.map(({ report }) => [report.node, since.get(report.node) ?? now] as const),
  )
  const records = disagreeing
    .filter(({ report }) => now - first.get(report.node)! >= CONVERGES_WITHIN_MS)
    .map(({ report, most }) => describe(report, most, first.get(report.node)!, input))
  return { records, since: first }
}

/** Most nodes first; of as many, those whose rings have not drifted. */
function byTrust(one: readonly NodeReport[], two: readonly NodeReport[]): number {
  const drifted = (group: readonly NodeReport[]): number =>
    group.some(each => ringDrift(each).length > 0) ? 1 : 0
  return (
    two.length - one.length ||
    drifted(one) - drifted(two) ||
    (one[0]!.ringsDigest! < two[0]!.ringsDigest! ? -1 : 1)
  )
}

const ringDrift = ({ drift }: NodeReport): DriftItem[] =>
  drift.filter(
    ({ driver, key, healedAt }) => driver === 'xdp' && key.startsWith('service/') && healedAt === null,
  )

interface Cause {
  readonly node: string
  readonly item: DriftItem
  readonly share: number | null
}

/** What drifted on the node, or on one of most, and moves slots. */
function findCauses(reports: readonly NodeReport[], measure: MeasureEffect): Cause[] {
  return reports
    .flatMap(report =>
      ringDrift(report).map(item => ({ node: report.node, item, share: measure(item).share })),
    )
    .filter(({ item, share }) => item.kind === 'unexpected' || share !== 0)
}

function describe(
  report: NodeReport,
  most: readonly NodeReport[],
  since: number,
  { names, measure }: RingsInput,
): DriftRecord {
  const causes = findCauses([report, most[0]!], measure)
  const services = causes.map(
    ({ node, item, share }): OtherRing => ({
      key: item.key,
      service: names[item.key] ?? null,
      node,
      slots: item.kind === 'unexpected' || share === null ? null : Math.round(share * RING_SLOTS),
    }),
  )
  const isOne = new Set(services.map(({ key }) => key)).size === 1
  return {
    version: DRIFT_RECORD_VERSION,
    node: report.node,
    driver: 'node',
    key: 'rings',
    kind: 'rings-disagree',
    service: isOne ? services[0]!.service : null,
    revision: report.want?.revision ?? null,
    desired: { rings: most[0]!.ringsDigest, on: most.slice(0, NAMED).map(({ node }) => node) },
    observed: { rings: report.ringsDigest, services: services.slice(0, NAMED).map(each => ({ ...each })) },
    since,
    healedAt: null,
    effect: describeEffect(causes.flatMap(({ share }) => share ?? [])),
  }
}

function describeEffect(shares: readonly number[]): DriftEffect {
  const share = shares.length === 0 ? null : Math.max(...shares)
  const what = share === null ? 'the same packet goes' : `${renderShare(share)} of its flows go`
  return { share, text: `${what} to another backend there` }
}
