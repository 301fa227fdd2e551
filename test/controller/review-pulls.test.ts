import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createReviewer, type ReviewOptions } from '../../reconciler/controller/review-pulls.ts'
import { openForge } from '../../reconciler/forge/open-forge.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { BallastError } from '../../schemas/ballast-error.ts'
import { addPull, PROJECT, type StandIn, startStandIn } from '../forge/stand-in.ts'
import { until } from '../repo/follow.ts'

const log = createLog({ level: 'silent', format: 'json', destination: process.stderr })
const [BASE, HEAD, MERGED] = ['a', 'b', 'c'].map(letter => letter.repeat(40)) as [string, string, string]
const MARKER = '<!-- ballast -->'

async function setUp(t: TestContext, change: Partial<ReviewOptions> = {}) {
  const standIn: StandIn = await startStandIn(t, 'github')
  const { url, token } = standIn
  const planned: string[] = []
  const clock = { now: 0 }
  const reviewer = createReviewer({
    forge: openForge({ kind: 'github', url, project: PROJECT, token: async () => token }),
    kind: 'github',
    branch: async () => 'main',
    resolve: async () => BASE,
    bring: async () => HEAD,
    preview: async () => ({ revision: MERGED }),
    review: async (base, head) => {
      planned.push(`${base[0]} ${head[0]}`)
      const comment = `${MARKER} plan ${planned.length}`
      return {
        comment,
        marker: MARKER,
        status: { state: 'success', description: '1 to change', url: null },
      }
    },
    refuse: problems => ({
      comment: `${MARKER} ${problems}`,
      marker: MARKER,
      status: { state: 'failure', description: problems, url: null },
    }),
    log,
    now: () => clock.now,
    ...change,
  })
  t.after(() => reviewer.stop())
  return { standIn, reviewer, planned, clock }
}

test('a pull request is planned as it would be merged, and said in one comment and a status', async t => {
  const { standIn, reviewer, planned, clock } = await setUp(t)
  addPull(standIn, { head: HEAD })
  reviewer.ask(1)
  await until('it is said', () => standIn.statuses.get(HEAD)?.get('ballast/plan')?.state === 'success')
  clock.now += 10_000
  reviewer.ask(1)
  await until('it is said', () => standIn.comments[0]?.body === `${MARKER} plan 2`)
  assert.deepEqual(planned, ['a c', 'a c'])
  assert.equal(standIn.comments.length, 1)
})

test('a storm about a few, in bursts while they are planned, is one plan of each merge', async t => {
  let base = BASE
  const { standIn, reviewer, planned } = await setUp(t, { resolve: async () => base })
  for (let number = 1; number <= 4; number += 1) addPull(standIn, { head: HEAD })
  for (let burst = 0; burst < 20; burst += 1) {
    for (let i = 0; i < 50; i += 1) reviewer.ask(1 + (i % 4))
    await delay(10)
  }
  await until('it is said', () => standIn.comments.length === 4)
  await delay(100)
  assert.equal(planned.length, 4)
  base = MERGED
  for (let number = 1; number <= 4; number += 1) reviewer.ask(number)
  await until('what moved on is planned anew', () => planned.length === 8)
})

test('what is closed, or for another branch, is let be; a conflict is said', async t => {
  const { standIn, reviewer, planned } = await setUp(t, {
    preview: async () => ({ conflicts: ['web.yaml'] }),
  })
  addPull(standIn, { state: 'closed' })
  addPull(standIn, { into: 'release' })
  addPull(standIn, { head: HEAD })
  for (const number of [1, 2, 3]) reviewer.ask(number)
  await until('it is said', () => standIn.statuses.size === 1)
  assert.deepEqual(standIn.statuses.get(HEAD)?.get('ballast/plan'), {
    state: 'failure',
    description: 'Conflicts with main: web.yaml',
    url: null,
  })
  assert.deepEqual(planned, [])
  assert.deepEqual(
    standIn.comments.map(({ body }) => body),
    [`${MARKER} Conflicts with main: web.yaml`],
  )
})

test('a plan that could not be made is no verdict on what is proposed, and is tried again', async t => {
  let isBroken = true
  const { standIn, reviewer } = await setUp(t, {
    async review() {
      if (isBroken)
        throw new BallastError({ code: 'PLAN_FAILED', message: 'no Redis', hint: 'Wait.', retryable: true })
      return { comment: MARKER, marker: MARKER, status: { state: 'success', description: '', url: null } }
    },
  })
  addPull(standIn, { head: HEAD })
  reviewer.ask(1)
  await until('it is said', () => standIn.statuses.get(HEAD)?.get('ballast/plan')?.state === 'error')
  assert.deepEqual(standIn.comments, [])
  isBroken = false
  await until('it is planned', () => standIn.statuses.get(HEAD)?.get('ballast/plan')?.state === 'success')
})

test('a forge that limits us is left alone for as long as it says', async t => {
  const { standIn, reviewer } = await setUp(t)
  addPull(standIn, { head: HEAD })
  Object.assign(standIn, { failWith: 429, failHeaders: { 'retry-after': '6' } })
  reviewer.ask(1)
  await until('it is asked', () => standIn.requests.length > 0)
  const asked = performance.now()
  standIn.failWith = null
  await until('it is asked again', () => standIn.requests.length > 1)
  // By itself after 2 s. A slow machine makes it later.
  assert.ok(performance.now() - asked > 3_000)
  await until('it is said', () => standIn.comments.length === 1)
})

test('a forge that is out of order is asked again', async t => {
  const { standIn, reviewer } = await setUp(t)
  addPull(standIn, { head: HEAD })
  standIn.failWith = 503
  reviewer.ask(1)
  await until('it is said', () => standIn.requests.length > 0)
  standIn.failWith = null
  await until('it is said', () => standIn.comments.length === 1)
})
