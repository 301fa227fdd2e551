import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { DriftRecord } from '../../schemas/drift-record.ts'
import { describeDrift } from './describe-drift.ts'

const Time = z.iso.datetime().transform(text => Date.parse(text))

/** A record as it is committed: the same, with times that people can read and one sentence on top. */
const DriftFile = DriftRecord.omit({ since: true, healedAt: true, healedBy: true }).extend({
  summary: z.string(),
  since: Time,
})

/** `drift/<node>/<driver>/<key>.yaml`: drift that is there. */
export function renderDriftFile(record: DriftRecord): string {
  const { version, node, driver, key, kind, service, since, revision, effect, desired, observed } = record
  return stringify(
    {
      version,
      summary: describeDrift(record),
      node,
      driver,
      key,
      kind,
      service,
      since: renderTime(since),
      revision,
      effect,
      ...(record.held !== undefined && { held: record.held }),
      ...(record.writer !== undefined && { writer: record.writer }),
      desired,
      observed,
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  )
}

/** Null for what is no such file: the branch may hold files of others. */
export function parseDriftFile(text: string): DriftRecord | null {
  let value: unknown
  try {
    value = parse(text, { maxAliasCount: 0 })
  } catch {
    return null
  }
  const read = DriftFile.safeParse(value)
  if (!read.success) return null
  const { summary: _, ...record } = read.data
  return { ...record, healedAt: null }
}

/** RFC 3339, in UTC, with ms. */
export const renderTime = (ms: number): string => new Date(ms).toISOString()
