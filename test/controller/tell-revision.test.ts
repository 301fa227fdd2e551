import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRevisionTeller, judgeProgress } from '../../reconciler/controller/tell-revision.ts'
import { openForge } from '../../reconciler/forge/open-forge.ts'
import { createLog } from '../../reconciler/log/log.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import type { Want } from '../../schemas/want.ts'
import { PROJECT, startStandIn } from '../forge/stand-in.ts'
import { until } from '../repo/follow.ts'
import { makeRollout } from '../rollout/simulate.ts'

const [OLD, NEW] = ['a', 'b'].map(letter => letter.repeat(40)) as [string, string]

const wantOf = (node: string, generation: number, revision: string): Want => ({
  version: 1,
  node,
  generation,
  revision,
  stateDigest: 'd'.repeat(64),
  drift: 'repair',
  at: 1000,
})

const reportOf = (
  want: Want,
  outcome: NodeReport['outcome'],
  change: Partial<NodeReport> = {},
): NodeReport => ({
  version: 1,
  node: want.node,
  at: 2000,
  worker: { pid: 1, startedAt: 0, version: '0' },
  want: { generation: want.generation, revision: want.revision, stateDigest: want.stateDigest },
  outcome,
  outcomeAt: 1400,
  edits: { create: 0, update: 1, delete: 0 },
  failures: [],
  pending: [],
  drift: [],
  observedDigest: 'e'.repeat(64),
  ringsDigest: null,
  facts: {},
  ...change,
})

const byNode = <Value extends { node: string }>(...values: Value[]): Map<string, Value> =>
  new Map(values.map(value => [value.node, value]))

const wants = byNode(wantOf('lb-1', 7, NEW), wantOf('lb-2', 7, NEW), wantOf('lb-3', 5, OLD))
const [lb1, lb2] = [wants.get('lb-1')!, wants.get('lb-2')!]

test('a revision is as far as the nodes that were told of it', () => {
  assert.equal(judgeProgress({ wants: new Map(), reports: new Map(), rollout: null, now: 0 }), null)
  const said = (...reports: NodeReport[]) =>
    judgeProgress({ wants, reports: byNode(...reports), rollout: null, now: 0 })?.status
  assert.deepEqual(said(), { state: 'pending', description: 'Queued: applied on 0 of 2 nodes' })
  assert.deepEqual(said(reportOf(wantOf('lb-1', 6, NEW), 'applied'), reportOf(lb2, 'applied')), {
    state: 'pending',
    description: 'Applied on 1 of 2 nodes',
  })
  assert.deepEqual(said(reportOf(lb1, 'applied'), reportOf(lb2, 'pending', { outcomeAt: 1900 })), {
    state: 'success',
    description: 'Applied on 2 of 2 nodes, the last after 900 ms',
  })
  const failure = {
    driver: 'xdp',
    key: 'k',
    code: 'BPF_FULL',
    message: 'no room',
    hint: '',
    retryable: true,
  } as const
  assert.deepEqual(said(reportOf(lb1, 'applied'), reportOf(lb2, 'failed', { failures: [failure] })), {
    state: 'failure',
    description: 'Applied on 1 of 2 nodes; lb-2: BPF_FULL: no room',
  })

  const rollout = makeRollout(4, { target: NEW })
  const applied = byNode(reportOf(lb1, 'applied'), reportOf(lb2, 'applied'))
  assert.deepEqual(judgeProgress({ wants, reports: applied, rollout, now: 0 })?.status, {
    state: 'pending',
    description: 'Applied on 2 of 2 nodes; wave 1 of 3 (canary) of 4 nodes',
  })
  const done: Rollout = { ...rollout, state: 'done' }
  const settled = judgeProgress({ wants, reports: applied, rollout: done, now: 0 })
  assert.equal(settled?.status.state, 'success')
})

test('a revision that waits for a freeze window says until when', () => {
  const freeze: Rollout['freeze'] = [
    { mode: 'deny', schedule: '0 18 * * FRI', duration: '62h', timeZone: 'Europe/Berlin', nodes: null },
  ]
  const now = Date.parse('2026-11-21T12:00:00Z')
  const rollout = makeRollout(3, { base: OLD, target: NEW, freeze })
  const base = byNode(wantOf('lb-1', 5, OLD), wantOf('lb-2', 5, OLD), wantOf('lb-3', 5, OLD))
  const reports = byNode(...[...base.values()].map(want => reportOf(want, 'applied')))
  assert.deepEqual(judgeProgress({ wants: base, reports, rollout, now }), {
    revision: NEW,
    status: {
      state: 'pending',
      description: `Queued: ${rollout.nodes[0]!.name}, ${rollout.nodes[1]!.name} and ${rollout.nodes[2]!.name}: frozen until 2026-11-23 07:00 UTC; applied then`,
    },
  })
  const [first, second, third] = rollout.nodes
  const partly: Rollout = {
    ...rollout,
    nodes: [{ ...first!, side: 'target' }, { ...second!, side: 'target' }, third!],
  }
  const applied = byNode(reportOf(lb1, 'applied'), reportOf(lb2, 'applied'))
  assert.deepEqual(judgeProgress({ wants, reports: applied, rollout: partly, now })?.status, {
    state: 'pending',
    description: `Applied on 2 of 2 nodes; ${third!.name}: frozen until 2026-11-23 07:00 UTC; applied then`,
  })
  // Another revision was accepted since.
  const stale = { ...rollout, base: 'c'.repeat(40) }
  assert.equal(judgeProgress({ wants: base, reports, rollout: stale, now })?.revision, OLD)
})

test('the forge is told once of each state, of refusals too, and only by who leads', async t => {
  const standIn = await startStandIn(t, 'gitea')
  const reports = byNode<NodeReport>()
  let leads = false
  let rollout: Rollout | null = null
  const teller = createRevisionTeller({
    forge: openForge({ kind: 'gitea', url: standIn.url, project: PROJECT, token: async () => standIn.token }),
    readWants: async () => wants,
    readReports: async () => reports,
    readRollout: async () => rollout,
    pageOf: async () => null,
    leads: () => leads,
    log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
    interval: 10,
  })
  t.after(() => teller.stop())
  const stateOf = (revision: string) => standIn.statuses.get(revision)?.get('ballast/fleet')?.state
  teller.reported()
  teller.refused(OLD, { line: 'web.yaml:3:1 unknown key', all: 'web.yaml:3:1 unknown key' })
  leads = true
  teller.reported()
  await until('it is said', () => stateOf(NEW) === 'pending' && stateOf(OLD) === 'failure')
  for (let i = 0; i < 50; i += 1) teller.reported()
  for (const want of [lb1, lb2]) reports.set(want.node, reportOf(want, 'applied'))
  teller.reported()
  await until('it is said', () => stateOf(NEW) === 'success')
  assert.equal(standIn.requests.length, 3)

  const pull = 'https://forge.example.org/pulls/9'
  rollout = makeRollout(3, { state: 'failed', target: OLD, reverted: 'ballast/revert', revertPull: pull })
  teller.accepted()
  await until('its refusal leads to what takes it back', () => {
    const { state, url } = standIn.statuses.get(OLD)!.get('ballast/fleet')!
    return state === 'failure' && url === pull
  })
})
