import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Forge, ForgeKind } from '../../reconciler/forge/forge.ts'
import { openForge } from '../../reconciler/forge/open-forge.ts'
import type { BallastError } from '../../schemas/ballast-error.ts'
import { addComment, addPull, OURSELVES, PROJECT, type StandIn, startStandIn } from './stand-in.ts'

const MARKER = '<!-- ballast:plan -->'
const REVISION = 'c'.repeat(40)

async function setUp(t: TestContext, kind: ForgeKind): Promise<{ forge: Forge; standIn: StandIn }> {
  const standIn = await startStandIn(t, kind)
  const { url, token } = standIn
  return { standIn, forge: openForge({ kind, url, project: PROJECT, token: async () => token }) }
}

for (const kind of ['github', 'gitlab', 'gitea'] as const)
  describe(`the forge ${kind}`, () => {
    test('a pull request is read, and whether it comes from a fork', async t => {
      const { forge, standIn } = await setUp(t, kind)
      addPull(standIn, { title: 'drain web', head: REVISION })
      addPull(standIn, { fork: true })
      addPull(standIn, { state: 'closed', merged: true })
      const { url, ...pull } = await forge.readPull(1)
      assert.ok(url.startsWith(standIn.url))
      assert.deepEqual(pull, {
        number: 1,
        title: 'drain web',
        state: 'open',
        into: 'main',
        head: REVISION,
        isFork: false,
      })
      assert.equal((await forge.readPull(2)).isFork, true)
      assert.equal((await forge.readPull(3)).state, 'merged')
    })

    test('there is one comment, edited in place among many of others', async t => {
      const { forge, standIn } = await setUp(t, kind)
      addPull(standIn, {})
      for (let i = 0; i < 120; i += 1) addComment(standIn, 1, `opinion ${i}`)
      await forge.putComment(1, MARKER, `${MARKER}\nfirst`)
      await forge.putComment(1, MARKER, `${MARKER}\nsecond: ä & <b>`)
      const ours = standIn.comments.filter(({ body }) => body.includes(MARKER))
      assert.deepEqual(
        ours.map(({ body }) => body),
        [`${MARKER}\nsecond: ä & <b>`],
      )
      assert.equal(standIn.comments.length, 121)
    })

    test('a comment of somebody else is let be, also one that quotes ours or begins as it does', async t => {
      for (const anonymous of kind === 'github' ? [false, true] : [false]) {
        const { forge, standIn } = await setUp(t, kind)
        standIn.anonymous = anonymous
        addPull(standIn, {})
        addComment(standIn, 1, `${MARKER}\nall is well`)
        addComment(standIn, 1, `> ${MARKER}\n> plan\n\nare you sure?`, OURSELVES)
        await forge.putComment(1, MARKER, `${MARKER}\nfirst`)
        await forge.putComment(1, MARKER, `${MARKER}\nsecond`)
        assert.deepEqual(
          standIn.comments.map(({ body }) => body.split('\n').at(-1)),
          ['all is well', 'are you sure?', 'second'],
        )
      }
    })

    test('where our comment may not be edited any more there is a new one', async t => {
      const { forge, standIn } = await setUp(t, kind)
      addPull(standIn, {})
      await forge.putComment(1, MARKER, `${MARKER}\nfirst`)
      standIn.protected.add(standIn.comments[0]!.id)
      await forge.putComment(1, MARKER, `${MARKER}\nsecond`)
      assert.deepEqual(
        standIn.comments.map(({ body }) => body.split('\n')[1]),
        ['first', 'second'],
      )
    })

    test('a forge that limits us is asked again when it says', async t => {
      const { forge, standIn } = await setUp(t, kind)
      addPull(standIn, {})
      const inAMinute = Math.ceil(Date.now() / 1000) + 60
      const limits: [number, Record<string, string>][] = [
        [403, { 'retry-after': '60' }],
        [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${inAMinute}` }],
        [429, {}],
      ]
      for (const [status, headers] of limits) {
        Object.assign(standIn, { failWith: status, failHeaders: headers })
        await assert.rejects(forge.readPull(1), (error: BallastError) => {
          assert.deepEqual([error.code, error.retryable], ['FORGE_BUSY', true])
          assert.ok(error.waitMs > 50_000 && error.waitMs <= 61_000, `${error.waitMs}`)
          return true
        })
      }
      Object.assign(standIn, { failWith: 403, failHeaders: {} })
      await assert.rejects(forge.readPull(1), { code: 'FORGE_UNAUTHORIZED' })
    })

    test('a commit has one status of each context, and saying it again is no failure', async t => {
      const { forge, standIn } = await setUp(t, kind)
      const status = {
        context: 'ballast/plan',
        state: 'pending',
        description: 'is planned',
        url: null,
      } as const
      await forge.putStatus(REVISION, status)
      await forge.putStatus(REVISION, status)
      await forge.putStatus(REVISION, {
        ...status,
        state: 'failure',
        description: 'x'.repeat(1000),
        url: 'https://ballast.example.org/plan',
      })
      const said = standIn.statuses.get(REVISION)?.get('ballast/plan')
      assert.equal(said?.state, kind === 'gitlab' ? 'failed' : 'failure')
      assert.ok(said.description.length <= (kind === 'github' ? 140 : 255) && said.description.endsWith('…'))
      assert.equal(said.url, 'https://ballast.example.org/plan')
    })

    test('a pull request of a branch is opened once', async t => {
      const { forge, standIn } = await setUp(t, kind)
      addPull(standIn, { from: 'other' })
      const pull = { from: 'ballast/revert-1', into: 'main', title: 'Revert', body: 'The canary failed.' }
      const first = await forge.openPull(pull)
      assert.deepEqual(await forge.openPull(pull), first)
      assert.deepEqual(
        standIn.pulls.map(({ from, title }) => `${from}: ${title}`),
        ['other: a change', 'ballast/revert-1: Revert'],
      )
    })

    test('what it refuses, and why, is an error with a hint', async t => {
      const { forge, standIn } = await setUp(t, kind)
      const wrong = openForge({ kind, url: standIn.url, project: PROJECT, token: async () => 'stolen' })
      await assert.rejects(wrong.readPull(1), { code: 'FORGE_UNAUTHORIZED', retryable: false })
      await assert.rejects(forge.readPull(7), { code: 'FORGE_UNAUTHORIZED' })
      standIn.failWith = 422
      await assert.rejects(forge.readPull(1), { code: 'FORGE_REFUSED' })
      const nobody = openForge({
        kind,
        url: 'http://127.0.0.1:9',
        project: PROJECT,
        token: async () => standIn.token,
      })
      await assert.rejects(nobody.readPull(1), { code: 'FORGE_UNREACHABLE', retryable: true })
    })
  })
