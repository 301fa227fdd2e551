import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { openLocalRemote } from '../../reconciler/repo/local-remote.ts'
import { createReverter } from '../../reconciler/repo/push-revert.ts'

const IDENTITY = ['-c', 'user.name=t', '-c', 'user.email=t@example.org']

async function start(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-revert-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const repo = join(dir, 'fleet.git')
  const git = async (...args: string[]): Promise<string> =>
    (await runCommand('git', ['--git-dir', repo, ...IDENTITY, ...args])).stdout.trim()
  await git('init', '-q', '--bare', '-b', 'main', repo)
  let head: string | null = null
  const push = async (files: Readonly<Record<string, string>>): Promise<string> => {
    const lines: string[] = []
    for (const [path, text] of Object.entries(files)) {
      const { stdout } = await runCommand('git', ['--git-dir', repo, 'hash-object', '-w', '--stdin'], {
        input: text,
      })
      lines.push(`100644 ${stdout.trim()}\t${path}\n`)
    }
    const env = { ...process.env, GIT_INDEX_FILE: join(dir, 'index') }
    const at = (args: string[], input = '') => runCommand('git', ['--git-dir', repo, ...args], { env, input })
    await at(['read-tree', '--empty'])
    await at(['update-index', '--add', '--index-info'], lines.join(''))
    const tree = (await at(['write-tree'])).stdout.trim()
    head = await git('commit-tree', tree, '-m', 'a change', ...(head === null ? [] : ['-p', head]))
    await git('update-ref', 'refs/heads/main', head)
    return head
  }
  const revert = createReverter({
    ...{ dir: join(dir, 'own'), openRemote: () => openLocalRemote(repo), path: 'fleet' },
    ...{ author: { name: 'ballast', email: 'ballast@example.org' }, signingKey: undefined },
  })
  return { git, push, revert }
}

test('for a review, manifests go back on a branch of its own, and nothing else', async t => {
  const { git, push, revert } = await start(t)
  const base = await push({ 'fleet/a.yaml': 'a', 'fleet/gone.yaml': 'g', README: '1' })
  const target = await push({ 'fleet/a.yaml': 'b', 'fleet/new.yaml': 'n', README: '2' })
  const request = {
    branch: 'main',
    target,
    base,
    why: 'A gate has closed.',
    at: 1_700_000_000_000,
    forReview: true,
  }
  const branch = `ballast/revert-${target.slice(0, 12)}`
  assert.equal((await revert(request))?.branch, branch)
  assert.equal(await git('rev-parse', 'main'), target)
  assert.equal(await git('rev-parse', `${branch}^`), target)
  assert.equal(await git('rev-parse', `${branch}:fleet`), await git('rev-parse', `${base}:fleet`))
  assert.equal(await git('show', `${branch}:README`), '2')
  assert.match(
    await git('log', '-1', '--format=%B', branch),
    /^Revert "a change"[\s\S]*A gate has closed\.[\s\S]*Reverts: /,
  )

  const pushed = await git('rev-parse', branch)
  assert.equal((await revert(request))?.branch, branch, 'again, after a crash')
  assert.equal(await git('rev-parse', branch), pushed)
})

test('a branch that has moved on is let be', async t => {
  const { git, push, revert } = await start(t)
  const base = await push({ 'fleet/a.yaml': 'a' })
  const target = await push({ 'fleet/a.yaml': 'b' })
  const later = await push({ 'fleet/a.yaml': 'c' })
  assert.equal(await revert({ branch: 'main', target, base, why: '', at: 0, forReview: false }), null)
  assert.equal(await git('rev-parse', 'main'), later)
})
