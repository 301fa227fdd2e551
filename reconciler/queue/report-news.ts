import { NodeReport } from '../../schemas/report.ts'
import { decode } from './decode.ts'

/** A report as Redis holds it: its fields, each as JSON. */
export type ReportFields = ReadonlyMap<string, string>

/** What a report says that the one before did not, or all of it. */
export interface ReportNews {
  /** `at` of the report that it follows; '' of a whole report. */
  readonly since: string
  readonly fields: ReportFields
}

export const fieldsOf = (report: NodeReport): ReportFields =>
  new Map(Object.entries(NodeReport.parse(report)).map(([name, value]) => [name, JSON.stringify(value)]))

/** A field that is there no more makes the report a whole one: news adds and replaces, and takes nothing away. */
export function findNews(before: ReportFields | undefined, after: ReportFields): ReportNews {
  if (before === undefined || [...before.keys()].some(name => !after.has(name)))
    return { since: '', fields: after }
  const fields = new Map([...after].filter(([name, text]) => before.get(name) !== text))
  // Every report has its time.
  return { since: before.get('at')!, fields: fields.set('at', after.get('at')!) }
}

/** Null: the news follows another report than this one. */
export function applyNews(
  before: ReportFields | undefined,
  { since, fields }: ReportNews,
): ReportFields | null {
  if (since === '') return fields
  return before?.get('at') === since ? new Map([...before, ...fields]) : null
}

/** Names and values in turn, as Redis takes and gives them. */
export const flatten = (fields: ReportFields): string[] => [...fields].flat()

export function unflatten(list: readonly string[]): ReportFields {
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < list.length; at += 2) fields.set(list[at]!, list[at + 1]!)
  return fields
}

/** Throws `QUEUE_VALUE_UNREADABLE`. */
export const readFields = (key: string, fields: ReportFields): NodeReport =>
  decode(
    NodeReport,
    key,
    `{${Array.from(fields, ([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`,
  )
