import type { NodeReport } from '../../schemas/report.ts'
import type { Want } from '../../schemas/want.ts'
import type { Log } from '../log/log.ts'

/** Tells in the log how a revision arrives at the nodes: one line per node, one for the last. */
export interface Progress {
  /** Wants that were just published. */
  expect(changed: readonly Want[]): void
  reported(report: NodeReport): void
}

export function followProgress(log: Log, now: () => number): Progress {
  let open = new Map<string, Want>()
  let total = 0
  let since = 0

  return {
    expect(changed) {
      if (changed.length === 0) return
      if (open.size === 0) {
        since = now()
        total = 0
      }
      total += changed.filter(({ node }) => !open.has(node)).length
      open = new Map([...open, ...changed.map(want => [want.node, want] as const)])
    },
    reported(report) {
      const want = open.get(report.node)
      if (want === undefined || report.want === null || report.want.generation < want.generation) return
      if (report.outcome === null || report.outcome === 'superseded') return
      open.delete(report.node)
      const { node, outcome, edits, failures } = report
      log.info({ node, outcome, ...edits, failures: failures.length, ms: now() - want.at }, 'node reported')
      if (open.size === 0)
        log.info({ revision: want.revision, nodes: total, ms: now() - since }, 'every node reported')
    },
  }
}
