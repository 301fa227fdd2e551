import type { ApiEvent } from '../../../schemas/api/event.ts'
import type { DriftItem, NodeReport } from '../../../schemas/report.ts'

/** What a report tells that the one before did not. */
export function findNews(before: NodeReport | undefined, report: NodeReport): ApiEvent[] {
  const { node, want, outcome, failures } = report
  const isNew =
    before === undefined ||
    before.want?.generation !== want?.generation ||
    before.outcome !== outcome ||
    before.failures.length !== failures.length
  const generation = want?.generation ?? null
  const revision = want?.revision ?? null
  const known = new Map(before?.drift.map(item => [identity(item), item]))
  const drift = report.drift.flatMap((item): ApiEvent[] => {
    const was = known.get(identity(item))
    const found: ApiEvent[] = was === undefined ? [{ type: 'drift-found', node, item }] : []
    // What was found and healed between two reports was both.
    if (item.healedAt !== null && (was === undefined || was.healedAt === null))
      found.push({ type: 'drift-healed', node, item })
    return found
  })
  return [
    ...(isNew
      ? [{ type: 'node-reported' as const, node, generation, revision, outcome, failures: failures.length }]
      : []),
    ...drift,
  ]
}

const identity = ({ driver, key, kind, since }: DriftItem): string => `${driver} ${key} ${kind} ${since}`
