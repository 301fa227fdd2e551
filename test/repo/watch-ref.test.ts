import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { makeRepository, type TestRepository } from './make-repository.ts'

/** Follows a ref by what `watch` yields and nothing else; `until` settles when the ref was seen as that. */
async function follow(t: TestContext, { dir }: TestRepository, ref: string) {
  const repository = await openRepository({ dir })
  const abort = new AbortController()
  const seen: (string | null)[] = []
  let yields = 0
  let news = Promise.withResolvers<void>()
  const following = (async () => {
    for await (const _ of repository.watch(ref, abort.signal)) {
      yields++
      seen.push(await repository.resolve(ref))
      news.resolve()
      news = Promise.withResolvers()
    }
  })()
  t.after(async () => {
    abort.abort()
    await following
  })
  return {
    count: () => yields,
    async until(revision: string | null): Promise<void> {
      const deadline = AbortSignal.timeout(10_000)
      while (seen.length === 0 || seen.at(-1) !== revision) {
        await Promise.race([news.promise, delay(10_000, null, { signal: deadline, ref: false })])
      }
    },
  }
}

suite('watching a ref', () => {
  test('sees 30 of 30 pushes to a bare repository', async t => {
    const bare = makeRepository(t, '--bare')
    const work = makeRepository(t)
    work.git('remote', 'add', 'origin', bare.dir)
    const watched = await follow(t, bare, 'refs/heads/main')
    await watched.until(null)
    for (let push = 0; push < 30; push++) {
      const revision = work.commit(`push ${push}`)
      work.git('push', '--quiet', 'origin', 'main')
      await watched.until(revision)
    }
  })

  test('sees the last of commits that follow each other at once', async t => {
    const work = makeRepository(t)
    const revisions = Array.from({ length: 10 }, (_, index) => work.commit(`${index}`))
    const watched = await follow(t, work, 'refs/heads/main')
    await watched.until(revisions.at(-1)!)
    for (let round = 0; round < 5; round++) {
      for (const revision of revisions) work.git('update-ref', 'refs/heads/main', revision)
      work.git('update-ref', 'refs/heads/main', revisions[round]!)
      await watched.until(revisions[round]!)
    }
  })

  test('sees a branch come, be packed, move, go, and come again, also in a folder of refs', async t => {
    const work = makeRepository(t)
    const [first, second] = [work.commit('first'), work.commit('second')]
    const ref = 'refs/heads/team/eu/live'
    const watched = await follow(t, work, ref)
    await watched.until(null)
    work.git('update-ref', ref, first)
    await watched.until(first)
    work.git('pack-refs', '--all', '--prune')
    work.git('update-ref', ref, second)
    await watched.until(second)
    work.git('pack-refs', '--all', '--prune')
    work.git('update-ref', '-d', ref)
    await watched.until(null)
    work.git('update-ref', ref, first)
    await watched.until(first)
  })

  test('is not woken by other branches and by objects', async t => {
    const work = makeRepository(t)
    const revision = work.commit()
    const watched = await follow(t, work, 'refs/heads/main')
    await watched.until(revision)
    const before = watched.count()
    for (let index = 0; index < 5; index++) work.git('update-ref', `refs/heads/other-${index}`, revision)
    work.gitWithInput('x', 'hash-object', '-w', '--stdin')
    const next = work.commit()
    await watched.until(next)
    await delay(300)
    assert.ok(watched.count() - before <= 3, `${watched.count() - before} yields for one commit`)
  })

  test('ends when aborted, before and after its first yield', async t => {
    const work = makeRepository(t)
    work.commit()
    const repository = await openRepository({ dir: work.dir })
    for await (const _ of repository.watch('refs/heads/main', AbortSignal.abort())) assert.fail('yielded')
    const abort = new AbortController()
    let yields = 0
    for await (const _ of repository.watch('refs/heads/main', abort.signal)) {
      yields++
      setTimeout(() => abort.abort(), 20)
    }
    assert.equal(yields, 1)
  })
})
