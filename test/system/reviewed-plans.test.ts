import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { createFleet, type Files, makeFiles } from './fleet.ts'

const manifests = (
  policy: 'risky' | 'always',
  services: NonNullable<Parameters<typeof makeFiles>[0]>['services'],
): Files => {
  const files = makeFiles({ nodes: ['lb-1'], services: services! })
  return {
    ...files,
    'fleet.yaml': files['fleet.yaml']!.replace('"drift"', `"requireReviewedPlan": "${policy}", "drift"`),
  }
}

const web = { vip: 10, backends: [1, 2, 3] }

const isHeld =
  (revision: string) =>
  ({ repository }: FleetStatus): boolean =>
    repository?.rejected?.revision === revision &&
    repository.rejected.diagnostics.some(({ rule }) => rule === 'plan-not-reviewed')

test('what was reviewed is what is applied: others are held, and said what moved (rule 9)', async t => {
  const fleet = await createFleet(t)
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  const flags = ['--repo', fleet.repo, '--state-dir', fleet.stateDir]
  const first = await fleet.push(manifests('always', { web }))
  await fleet.untilApplied(first)

  // A branch for review, planned and recorded, then merged as one squashed commit.
  await fleet.git('checkout', '-q', '-b', 'change')
  await fleet.push(manifests('always', { web: { vip: 10, backends: [1, 2, 3, 4] } }))
  await fleet.git('push', '-q', 'origin', 'HEAD:change')
  await fleet.git('push', '-q', '--force', 'origin', `${first}:main`)
  const reviewed = await fleet.ballast(
    'plan',
    ...flags,
    '--from',
    first,
    '--to',
    'change',
    '--json',
    '--record',
  )
  assert.deepEqual([reviewed.exitCode, reviewed.stderr], [2, ''])
  const plan = FleetPlan.parse(JSON.parse(reviewed.stdout))
  assert.equal(plan.rollout?.needs_review, true)
  const read = await fleet.ballast('plan', ...flags, '--from', first, '--to', 'change')
  assert.match(read.stdout, /Taken after the merge only if a plan of this digest was recorded/)
  assert.deepEqual(
    plan.objects.map(({ kind, name, effect }) => ({ kind, name, effect })),
    [{ kind: 'Service', name: 'web', effect: 'traffic' }],
  )
  await fleet.git('checkout', '-q', '-B', 'main', first)
  const other = await fleet.push(manifests('always', { web: { vip: 10, backends: [1, 2, 4] } }))
  const held = await fleet.until('another change is held', isHeld(other))
  assert.equal(held.repository?.accepted, first)
  assert.match(held.repository!.rejected!.diagnostics.at(-1)!.message, /service\/203\.0\.113\.10:80\/tcp/)

  const squashed = await fleet.push(manifests('always', { web: { vip: 10, backends: [1, 2, 3, 4] } }))
  await fleet.untilApplied(squashed)

  // By hand: the digest of another plan is refused, that of this one lets it by.
  const second = await fleet.push(manifests('always', { web: { vip: 10, backends: [1, 2] } }))
  await fleet.until('it is held', isHeld(second))
  const wrong = await fleet.ballast('apply', ...flags, '--plan', plan.digest)
  assert.equal(wrong.exitCode, 1)
  assert.match(wrong.stderr, /Nothing was applied/)
  const shown = await fleet.ballast('plan', ...flags, '--from', squashed, '--to', second, '--json')
  const { digest } = FleetPlan.parse(JSON.parse(shown.stdout))
  const applied = await fleet.ballast('apply', ...flags, '--plan', digest.slice(0, 16))
  assert.deepEqual([applied.exitCode, applied.stderr], [0, ''])
  await fleet.untilApplied(second)
})

test('risky: a change without a risk goes by, one with a risk is held', async t => {
  const fleet = await createFleet(t)
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  const first = await fleet.push(manifests('risky', { web }))
  await fleet.untilApplied(first)
  const second = await fleet.push(manifests('risky', { web: { vip: 10, backends: [1, 2, 3, 4] } }))
  await fleet.untilApplied(second)
  const read = await fleet.ballast('plan', '--repo', fleet.repo, '--from', first, '--to', second)
  assert.doesNotMatch(read.stdout, /recorded/)
  const risky = await fleet.push(manifests('risky', { web: { vip: 10, backends: [1, 4] } }))
  await fleet.until('it is held', isHeld(risky))
})
