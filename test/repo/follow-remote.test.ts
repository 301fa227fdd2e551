import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openMirror } from '../../reconciler/repo/mirror.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { makeRemote, open, push, until } from './follow.ts'
import { serveGit } from './git-server.ts'
import { temporaryFolder } from './make-repository.ts'

async function follow(t: TestContext, options: Parameters<typeof open>[2] = {}) {
  const remote = makeRemote(t)
  const first = push(remote.work, 'a')
  const server = await serveGit(t, remote.root)
  const opened = await open(t, `${server.url}/fleet.git`, options)
  await opened.source.start()
  const { repository } = opened.source
  await until('the first revision is there', async () => (await repository.resolve('main')) === first)
  const rules = async () => (await opened.source.problems()).map(({ rule }) => rule)
  return { ...remote, ...opened, server, first, rules, repository }
}

suite('following a remote', () => {
  test('30 pushes, one after the other, end at the last one with all of them in its history', async t => {
    const { work, repository, root, first } = await follow(t)
    const revisions: string[] = []
    for (let index = 0; index < 30; index++) revisions.push(work.commit(`push ${index}`))
    for (const revision of revisions) {
      work.git(`--git-dir=${root}/fleet.git`, 'fetch', '--quiet', work.dir, `+${revision}:refs/heads/main`)
    }
    const last = revisions.at(-1)!
    await until('the last push is there', async () => (await repository.resolve('main')) === last)
    for (const revision of [first, ...revisions]) assert.ok(await repository.isAncestor(revision, last))
  })

  test('a storm of pokes costs one look at once and few after, and one fetch', async t => {
    const { work, source, server, repository } = await follow(t, { pollInterval: 600_000 })
    const head = push(work, 'b')
    const before = server.requests.length
    const fetched = server.fetches()
    for (let index = 0; index < 1000; index++) source.poll()
    await until('the push is there', async () => (await repository.resolve('main')) === head)
    for (let index = 0; index < 1000; index++) source.poll()
    await delay(500)
    assert.equal(server.fetches() - fetched, 1)
    assert.ok(server.requests.length - before <= 10, server.requests.join('\n'))
  })

  test('a deleted branch freezes what is there and is said until it is back', async t => {
    const { work, bare, rules, repository, first } = await follow(t)
    await repository.accept(first, null)
    bare.git('update-ref', '-d', 'refs/heads/main')
    await until('the deletion is said', async () => (await rules()).includes('branch-missing'))
    assert.equal(await repository.accepted(), first)
    assert.equal((await repository.snapshot(first, { path: '' })).files.size, 1)
    const head = push(work, 'b')
    await until('it is back', async () => (await repository.resolve('main')) === head)
    assert.deepEqual(await rules(), [])
  })

  test('a default branch that moves is said and not followed, also after a restart', async t => {
    const { work, bare, source, stateDir, server, rules, first } = await follow(t, { branch: undefined })
    await until('the branch is known', async () => (await source.branch()) === 'main')
    assert.deepEqual(await rules(), [])
    work.git('push', '--quiet', 'origin', 'main:next')
    bare.git('symbolic-ref', 'HEAD', 'refs/heads/next')
    await until('the move is said', async () => (await rules()).includes('default-branch-moved'))
    await source.close()
    const again = await open(t, `${server.url}/fleet.git`, { branch: undefined, stateDir })
    await again.source.pull()
    assert.equal(await again.source.branch(), 'main')
    assert.equal(await again.source.repository.resolve('main'), first)
    assert.deepEqual(
      (await again.source.problems()).map(({ rule }) => rule),
      ['default-branch-moved'],
    )
    const chosen = await open(t, `${server.url}/fleet.git`, { branch: 'next', stateDir })
    await chosen.source.pull()
    assert.deepEqual(await chosen.source.problems(), [])
  })
})

suite('a remote that is away', () => {
  test('is said once, with the age of the last good pull, and again when it is back', async t => {
    const { source, server, work, repository, said, stateDir } = await follow(t)
    const lastGood = source.pullState()?.lastAt
    assert.ok(lastGood)
    await server.stop()
    await until('it is said', () => source.pullState()?.error?.code === 'GIT_REMOTE_UNREACHABLE')
    await delay(700)
    assert.equal(said().split('"GIT_REMOTE_UNREACHABLE"').length - 1, 1)
    assert.ok(source.pullState()!.lastAt! >= lastGood)

    const restarted = await open(t, `${server.url}/fleet.git`, { stateDir })
    assert.ok(restarted.source.pullState()!.lastAt! >= lastGood, 'an earlier process is remembered')
    assert.deepEqual(await restarted.source.problems(), [])

    const head = push(work, 'b')
    await server.start()
    await until('it is there', async () => (await repository.resolve('main')) === head)
    await until('all is well', () => source.pullState()?.error === null)
    assert.match(said(), /answers again/)
  })

  test('is asked less and less, and one that refuses us not once more, whatever the pokes', async t => {
    const { source, server } = await follow(t, { pollInterval: 100 })
    server.manners.status = 401
    await until('it is said', () => source.pullState()?.error?.code === 'GIT_REMOTE_UNAUTHORIZED')
    const before = server.requests.length
    for (let index = 0; index < 20; index++) {
      source.poll()
      await delay(50)
    }
    assert.equal(server.requests.length, before)
  })

  test('does not keep anybody from ending, nor does one that never answers', { timeout: 15_000 }, async t => {
    const slow = await follow(t)
    slow.server.manners.silent = true
    const before = slow.server.requests.length
    await until('it is asked', () => slow.server.requests.length > before)
    await slow.source.close()

    const { source, server } = await follow(t)
    await server.stop()
    await until('it is said', () => source.pullState()?.error != null)
    await source.close()
  })
})

suite('a mirror', () => {
  test('is collected when packs pile up, while others read it', async t => {
    const { work, bare, root } = makeRemote(t)
    push(work, 'a')
    const mirror = await openMirror(join(temporaryFolder(t), 'mirror'), { loose: 6700, packs: 3 })
    const repository = await openRepository({ dir: mirror.place.dir })
    const packs = () =>
      readdirSync(join(mirror.place.dir, 'objects/pack')).filter(name => name.endsWith('.pack'))
    let ended = false
    const revisions: string[] = []
    const reader = (async () => {
      while (!ended) {
        for (const revision of revisions) {
          assert.equal((await repository.snapshot(revision, { path: '' })).files.size > 0, true)
        }
        await delay(10)
      }
    })()
    let most = 0
    for (let round = 0; round < 8; round++) {
      const head = push(work, `round-${round}`)
      bare.git(
        `--git-dir=${mirror.place.dir}`,
        '-c',
        'fetch.unpackLimit=1',
        'fetch',
        '--quiet',
        '--no-auto-maintenance',
        `${root}/fleet.git`,
        `+${head}:refs/heads/main`,
      )
      revisions.push(head)
      most = Math.max(most, packs().length)
      await mirror.collect()
    }
    ended = true
    await reader
    assert.ok(most > 3)
    assert.ok(packs().length <= 4, packs().join())
    assert.equal((await repository.snapshot(revisions.at(-1)!, { path: '' })).files.size, 9)
  })
})
