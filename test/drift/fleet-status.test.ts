import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderStatus } from '../../reconciler/commands/render-status.ts'
import { makeFleetStatus } from '../../reconciler/drift/make-fleet-status.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { PAUSE_VERSION, type Pause } from '../../schemas/drift-policy.ts'
import { type DriftItem, type NodeReport, REPORT_VERSION } from '../../schemas/report.ts'
import { REVISION_STATE_VERSION, type RevisionState } from '../../schemas/revision-state.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { makeRollout } from '../rollout/simulate.ts'

const NOW = 1_000_000
const revision = 'a'.repeat(40)
const stateDigest = 'b'.repeat(64)

const want = (generation: number): Want => ({
  version: WANT_VERSION,
  node: 'lb-1',
  generation,
  revision,
  stateDigest,
  drift: 'repair',
  at: NOW,
})

const report = (change: Partial<NodeReport> = {}): NodeReport => ({
  version: REPORT_VERSION,
  node: 'lb-1',
  at: NOW - 100,
  worker: { pid: 1, startedAt: 0, version: '0' },
  want: { generation: 5, revision, stateDigest },
  outcome: 'applied',
  outcomeAt: NOW - 100,
  edits: { create: 0, update: 0, delete: 0 },
  failures: [],
  pending: [],
  drift: [],
  observedDigest: stateDigest,
  ringsDigest: null,
  facts: {},
  ...change,
})

const drift = (healedAt: number | null): DriftItem => ({
  driver: 'xdp',
  key: 'settings',
  kind: 'missing',
  desired: null,
  observed: null,
  since: NOW - 10,
  healedAt,
})

const cases: [string, Want | null, NodeReport | null, string][] = [
  ['a node that reports what is wanted is in sync', want(5), report(), 'in-sync'],
  ['a node that has not come to the newest want converges', want(6), report(), 'converging'],
  ['a node that never reported is unseen', want(5), null, 'unseen'],
  ['a node that stopped reporting is silent', want(5), report({ at: NOW - 31_000 }), 'silent'],
  ['a node that failed says so', want(5), report({ outcome: 'failed' }), 'failed'],
  ['open drift is drift', want(5), report({ drift: [drift(null)] }), 'drifted'],
  ['healed drift is history', want(5), report({ drift: [drift(NOW)] }), 'in-sync'],
  ['held drift is drift', want(5), report({ outcome: 'held', drift: [drift(null)] }), 'drifted'],
  ['a node that reports without being wanted is leaving', null, report(), 'leaving'],
]

for (const [title, wanted, reported, state] of cases) {
  test(title, () => {
    const status = makeFleetStatus({
      revisions: null,
      wants: new Map(wanted === null ? [] : [['lb-1', wanted]]),
      reports: new Map(reported === null ? [] : [['lb-1', reported]]),
      now: NOW,
    })
    assert.equal(status.nodes[0]?.state, state)
    assert.equal(status.inSync, state === 'in-sync')
  })
}

const settled: RevisionState = {
  version: REVISION_STATE_VERSION,
  seen: 'c'.repeat(40),
  accepted: revision,
  rejected: null,
  branch: 'main',
  problems: [],
  pull: null,
  at: NOW,
}

test('nodes that wait for a freeze window are shown, with its end', () => {
  const freeze = [
    {
      ...{ mode: 'deny' as const, schedule: '0 0 * * *', duration: '6h', timeZone: 'UTC' },
      ...{ nodes: ['lb-01'], reason: 'backups' },
    },
  ]
  const rollout = makeRollout(2, { base: revision, freeze })
  const [name] = rollout.nodes.map(node => node.name)
  freeze[0]!.nodes = [name!]
  const now = Date.parse('2026-11-21T01:00:00Z')
  const at = (change: Partial<typeof rollout>) =>
    makeFleetStatus({
      ...{ revisions: settled, wants: new Map(), reports: new Map(), now },
      rollout: { ...rollout, ...change },
    })
  const until = Date.parse('2026-11-21T06:00:00Z')
  assert.deepEqual(at({}).frozen, [{ nodes: [name], until, reasons: ['backups'] }])
  assert.match(
    renderStatus(at({}), { color: false }),
    /waiting {3}.*: frozen until 2026-11-21 06:00 UTC \(backups\)/,
  )
  // Another revision has been accepted since, or a commit says that windows do not count, or it is over.
  assert.equal(at({ base: 'd'.repeat(40) }).frozen, undefined)
  assert.equal(at({ freezeOverride: 'INC-1' }).frozen, undefined)
  assert.equal(at({ nodes: rollout.nodes.map(node => ({ ...node, side: 'target' })) }).frozen, undefined)
})

test('why a head is refused is said by errors alone, of many by the first', () => {
  const error: Diagnostic = {
    at: { file: 'web.yaml', line: 7, column: 9 },
    severity: 'error',
    rule: 'vip-unique',
    message: 'Taken.',
    hint: 'Take another.',
  }
  const warning: Diagnostic = { ...error, severity: 'warning', rule: 'fleet-key' }
  const shownOf = (diagnostics: Diagnostic[]): string => {
    const rejected = { revision: 'c'.repeat(40), diagnostics, at: NOW }
    const revisions = { ...settled, rejected }
    const status = makeFleetStatus({ revisions, wants: new Map(), reports: new Map(), now: NOW })
    return renderStatus(status, { color: false })
  }
  const few = shownOf([warning, error])
  assert.match(few, /vip-unique/)
  assert.doesNotMatch(few, /fleet-key|more:/)
  const many = shownOf(Array<Diagnostic>(25).fill(error))
  assert.equal(many.match(/vip-unique/g)?.length, 20)
  assert.match(many, /and 5 more:/)
})

test('a refused head is out of sync, though every node holds the last good revision', () => {
  const revisions: RevisionState = {
    ...settled,
    rejected: { revision: 'c'.repeat(40), diagnostics: [], at: NOW },
  }
  const status = makeFleetStatus({
    revisions,
    wants: new Map([['lb-1', want(5)]]),
    reports: new Map([['lb-1', report()]]),
    now: NOW,
  })
  assert.equal(status.inSync, false)
})

test('that somebody works on a node is told until it ends', () => {
  const paused: Pause = { version: PAUSE_VERSION, since: 0, until: NOW + 1, why: 'a cable', by: 'ann' }
  const at = (now: number) =>
    makeFleetStatus({
      wants: new Map([['lb-1', want(5)]]),
      reports: new Map([['lb-1', report({ paused })]]),
      revisions: null,
      now,
    }).nodes[0]?.paused
  assert.deepEqual(at(NOW), paused)
  assert.equal(at(NOW + 1), undefined)
})
