import type { NodeReport, Outcome } from '../../schemas/report.ts'

/** A node that reports every 10 s and has not for this long is silent, ms. */
const SILENT_AFTER_MS = 30_000

/** What is wanted of a node, and what it said last. */
export interface NodeView {
  /** Generation of its want, which is of the side that the record gives it; null: it has none. */
  readonly wanted: number | null
  readonly report: Pick<NodeReport, 'at' | 'want' | 'outcome' | 'traffic' | 'failures'> | null
}

/** How a probe went: failures in a row, and what the last one said. */
export interface ProbeResult {
  readonly name: string
  readonly failures: number
  readonly error: string | null
}

/** All that a rollout is judged by, less the clock. A node without a view never reported. */
export interface Reports {
  readonly nodes: ReadonlyMap<string, NodeView>
  readonly probes: readonly ProbeResult[]
}

const FINAL: readonly (Outcome | null)[] = ['applied', 'pending', 'held']
const FAILED: readonly (Outcome | null)[] = ['failed', 'refused']

export const isSilent = (view: NodeView | undefined, now: number): boolean =>
  view?.report == null || now - view.report.at > SILENT_AFTER_MS

const isOfWant = ({ wanted, report }: NodeView): boolean =>
  wanted !== null && (report?.want?.generation ?? 0) >= wanted

/** The node is as it is wanted, or is wanted no more. */
export const isReached = (view: NodeView | undefined): boolean =>
  view !== undefined && (view.wanted === null || (isOfWant(view) && FINAL.includes(view.report!.outcome)))

/** The node tried, and could not; one that cannot even read what is wanted keeps its old want. */
export const hasFailed = (view: NodeView | undefined): boolean =>
  view?.report != null &&
  FAILED.includes(view.report.outcome) &&
  (view.report.outcome === 'refused' || isOfWant(view))
