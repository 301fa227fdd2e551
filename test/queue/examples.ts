import { type NodeReport, REPORT_VERSION } from '../../schemas/report.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'

export const makeWant = (node: string, change: Partial<Want> = {}): Want => ({
  version: WANT_VERSION,
  node,
  generation: Date.now(),
  revision: 'a'.repeat(40),
  stateDigest: 'b'.repeat(64),
  drift: 'repair',
  at: 1,
  ...change,
})

export const makeReportOf = (node: string, change: Partial<NodeReport> = {}): NodeReport => ({
  version: REPORT_VERSION,
  node,
  at: 1,
  worker: { pid: 1, startedAt: 1, version: '0.1.0' },
  want: null,
  outcome: null,
  outcomeAt: null,
  edits: { create: 0, update: 0, delete: 0 },
  failures: [],
  pending: [],
  drift: [],
  observedDigest: 'a'.repeat(64),
  ringsDigest: null,
  facts: {},
  ...change,
})
