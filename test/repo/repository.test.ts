import assert from 'node:assert/strict'
import { chmodSync, existsSync, lchownSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { makeRepository, temporaryFolder, useRepository } from './make-repository.ts'

async function withTwoCommits(t: TestContext) {
  const work = makeRepository(t)
  work.write('a.yaml', 'a: 1\n')
  const first = work.commit('first')
  work.write('a.yaml', 'a: 2\n')
  const second = work.commit('second')
  return { work, first, second, repository: await openRepository({ dir: work.dir }) }
}

suite('opening a repository', () => {
  test('names what is none, and does not look in the folders above', async t => {
    const work = makeRepository(t)
    mkdirSync(join(work.dir, 'inside'))
    await assert.rejects(openRepository({ dir: join(work.dir, 'inside') }), { code: 'REPO_NOT_FOUND' })
    await assert.rejects(openRepository({ dir: join(work.dir, 'missing') }), { code: 'REPO_NOT_FOUND' })
  })

  test('refuses a format that git does not know, with a hint', async t => {
    const work = makeRepository(t)
    work.git('config', 'core.repositoryFormatVersion', '99')
    await assert.rejects(openRepository({ dir: work.dir }), { code: 'REPO_UNSUPPORTED', hint: /newer git/ })
  })

  test('takes one that belongs to somebody else, since it was named', {
    skip: process.getuid?.() !== 0 && 'only root can give files away',
  }, async t => {
    const { work, first, second } = await withTwoCommits(t)
    for (const path of readdirSync(work.dir, { recursive: true, encoding: 'utf8' }))
      lchownSync(join(work.dir, path), 65534, 65534)
    lchownSync(work.dir, 65534, 65534)
    assert.throws(() => work.git('log'), /dubious ownership/)
    const repository = await openRepository({ dir: work.dir })
    assert.equal(await repository.resolve('main'), second)
    await repository.accept(first, null)
    assert.equal((await repository.snapshot(first, { path: '' })).files.size, 1)
  })

  test('is not misled by what a hook has in its environment', async t => {
    const { work, second } = await withTwoCommits(t)
    const before = { ...process.env }
    t.after(() => {
      process.env = before
    })
    Object.assign(process.env, { GIT_DIR: '/nonexistent', GIT_OBJECT_DIRECTORY: '/nonexistent' })
    const repository = await openRepository({ dir: work.dir })
    assert.equal(await repository.resolve('main'), second)
  })
})

suite('resolving', () => {
  test('takes branches, refs, ids, abbreviated ids, and what is before them', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    work.git('tag', '--annotate', 'v1', '--message', 'one', first)
    work.git('branch', 'feature/x', first)
    const expected = {
      main: second,
      'refs/heads/main': second,
      HEAD: second,
      'HEAD~1': first,
      [second]: second,
      [second.slice(0, 8)]: second,
      v1: first,
      'refs/tags/v1': first,
      'feature/x': first,
    }
    for (const [name, revision] of Object.entries(expected)) {
      assert.equal(await repository.resolve(name), revision, name)
    }
  })

  test('prefers a branch to a tag of the same name', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    work.git('tag', 'main', first)
    assert.equal(await repository.resolve('main'), second)
  })

  test('gives null for what is no commit, and never takes a name for an option', async t => {
    const { repository, second } = await withTwoCommits(t)
    const names = [
      '',
      'nope',
      'HEAD~99',
      '0'.repeat(40),
      '--all',
      '-x',
      '^main',
      'main..main',
      `${second}^{tree}`,
    ]
    for (const name of names) assert.equal(await repository.resolve(name), null, name)
  })

  test('gives null for a branch that was deleted', async t => {
    const { work, repository } = await withTwoCommits(t)
    work.git('branch', 'gone')
    assert.notEqual(await repository.resolve('gone'), null)
    work.git('branch', '--delete', 'gone')
    assert.equal(await repository.resolve('gone'), null)
  })

  test('reads packed refs as well as loose ones', async t => {
    const { work, repository, second } = await withTwoCommits(t)
    work.git('pack-refs', '--all', '--prune')
    assert.ok(!existsSync(join(work.dir, '.git/refs/heads/main')))
    assert.equal(await repository.resolve('refs/heads/main'), second)
  })

  test('fails, instead of saying that a branch is gone, when the repository is gone', async t => {
    const { work, repository } = await withTwoCommits(t)
    work.remove('.git')
    await assert.rejects(repository.resolve('main'), { code: 'COMMAND_FAILED' })
  })
})

suite('what a repository knows of its commits', () => {
  test('names the default branch, also before its first commit, and null when HEAD is detached', async t => {
    const empty = makeRepository(t, '--bare')
    assert.equal(await (await openRepository({ dir: empty.dir })).defaultBranch(), 'main')
    const { work, repository } = await withTwoCommits(t)
    work.git('checkout', '--quiet', '--detach')
    assert.equal(await repository.defaultBranch(), null)
  })

  test('describes a commit by subject, author and time', async t => {
    const { work, repository } = await withTwoCommits(t)
    work.write('b.yaml', 'b: 1\n')
    const revision = work.commit('web: add a backend\nin Zürich\n\nBecause.')
    const { at, ...said } = await repository.describe(revision)
    const subject = 'web: add a backend in Zürich'
    assert.deepEqual(said, { revision, subject, author: 'Ada <ada@example.org>' })
    assert.equal(at, Number(work.git('log', '-1', '--format=%ct')) * 1000)
    await assert.rejects(repository.describe('1'.repeat(40)), { code: 'REVISION_NOT_FOUND' })
  })

  test('describes any commit as git does, whatever is in it', async t => {
    const { work, repository, second } = await withTwoCommits(t)
    const tree = work.git('rev-parse', `${second}^{tree}`)
    const name = fc.constantFrom('Ada', 'Zoë  B.', ' x', 'a>b', '', '\u00a0')
    const message = fc.array(fc.constantFrom('a', 'ü', ' ', '\t', '\r', '\n', '\n\n', '\f', '#'), {
      maxLength: 9,
    })
    await fc.assert(
      fc.asyncProperty(name, fc.constantFrom('a@b', 'a b', ''), message, async (who, mail, parts) => {
        const text = [
          `tree ${tree}`,
          `author ${who} <${mail}> 1700000001 +0200`,
          'committer C <c@d> 1700000002 -0100',
          `\n${parts.join('')}`,
        ].join('\n')
        const revision = work.gitWithInput(
          text,
          'hash-object',
          '-t',
          'commit',
          '-w',
          '--literally',
          '--stdin',
        )
        const expected = work.gitRaw('log', '-1', '--format=%an <%ae>%x00%s%x00%ct', revision)
        const { author, subject, at } = await repository.describe(revision)
        assert.equal(`${author}\0${subject}\0${at / 1000}`, expected.replace(/\n$/, ''))
      }),
      { numRuns: 40 },
    )
  })

  test('tells whether one commit comes before another', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    assert.equal(await repository.isAncestor(first, second), true)
    assert.equal(await repository.isAncestor(second, second), true)
    assert.equal(await repository.isAncestor(second, first), false)
    work.git('checkout', '--quiet', '--orphan', 'other')
    const other = work.commit('other')
    assert.equal(await repository.isAncestor(first, other), false)
    assert.equal(
      await repository.isAncestor('1'.repeat(40), second),
      false,
      'what is gone comes before nothing',
    )
    await assert.rejects(repository.isAncestor(first, '1'.repeat(40)), { code: 'REVISION_NOT_FOUND' })
    work.git('checkout', '--quiet', 'main')
    work.git('merge', '--quiet', '--allow-unrelated-histories', '--strategy=ours', '-m', 'both', other)
    const after = Array.from({ length: 40 }, (_, index) => work.commit(`${index}`)).at(-1)!
    for (const [before, expected] of [
      [first, true],
      [other, true],
      [after, true],
      ['1'.repeat(40), false],
    ] as const) {
      assert.equal(await repository.isAncestor(before, after), expected)
    }
  })
})

suite('the accepted revision', () => {
  test('is set only over the one that the caller knows', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    assert.equal(await repository.accepted(), null)
    await repository.accept(first, null)
    assert.equal(await repository.accepted(), first)
    await assert.rejects(repository.accept(second, null), { code: 'ACCEPTED_MOVED', retryable: true })
    await assert.rejects(repository.accept(second, second), { code: 'ACCEPTED_MOVED' })
    assert.equal(await repository.accepted(), first)
    await repository.accept(second, first)
    assert.equal(work.git('rev-parse', 'refs/ballast/accepted'), second)
  })

  test('of two who accept at the same time, one is told', async t => {
    const { repository, first, second } = await withTwoCommits(t)
    const results = await Promise.allSettled([
      repository.accept(first, null),
      repository.accept(second, null),
    ])
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })

  test('outlives a force-push and a collection', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    await repository.accept(second, null)
    work.git('reset', '--quiet', '--hard', first)
    work.git('reflog', 'expire', '--expire=now', '--all')
    work.git('gc', '--quiet', '--prune=now')
    const accepted = await repository.accepted()
    assert.equal(accepted, second)
    assert.equal((await repository.snapshot(second, { path: '' })).files.get('a.yaml')?.text, 'a: 2\n')
  })

  test('cannot be made a commit that is not there', async t => {
    const { repository } = await withTwoCommits(t)
    await assert.rejects(repository.accept('1'.repeat(40), null), { code: 'COMMAND_FAILED' })
  })
})

suite('somebody else in the repository', () => {
  test('gets no program run by its hooks and settings', async t => {
    const { work, repository, first } = await withTwoCommits(t)
    const witness = join(temporaryFolder(t), 'ran')
    const hook = join(work.dir, '.git/hooks/reference-transaction')
    work.write('.git/hooks/reference-transaction', `#!/bin/sh\ntouch ${witness}\n`)
    chmodSync(hook, 0o755)
    work.git('config', 'core.fsmonitor', `touch ${witness}; true`)
    await repository.accept(first, null)
    await repository.resolve('main')
    await repository.snapshot(first, { path: '' })
    assert.ok(!existsSync(witness))
    work.git('update-ref', 'refs/heads/control', first)
    assert.ok(existsSync(witness), 'the hook would have run')
  })

  test('cannot put another commit in the place of a reviewed one (git replace)', async t => {
    const { work, repository, first, second } = await withTwoCommits(t)
    work.git('replace', first, second)
    assert.equal(useRepository(work.dir).git('show', `${first}:a.yaml`), 'a: 2', 'git itself is taken in')
    assert.equal((await repository.snapshot(first, { path: '' })).files.get('a.yaml')?.text, 'a: 1\n')
  })
})
