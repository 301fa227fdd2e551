import assert from 'node:assert/strict'
import { appendFile, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { askBird } from '../../reconciler/lab/routing.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { makeInjection } from './by-hand.ts'
import { HELD, NODES, withDriftLab } from './drift-lab.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'
const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const LIMIT_MS = 30_000
const MANIFEST = 'services/v-99.yaml'
const COMMENT = '# asked for by the team of v-99'

test('attributes that somebody gives an announcement by hand are adopted, merged, and then wanted of every node', {
  skip,
}, async () => {
  await withDriftLab({ name: `adopt-${process.pid}`, victims: 1, commitAfter: 100 }, async drift => {
    const { lab } = drift
    const [clone, bare] = [join(lab.dir, 'policy'), join(lab.dir, 'policy.git')]
    const git = async (...args: string[]): Promise<string> =>
      (await runCommand('git', ['-C', clone, ...args])).stdout.trim()
    await appendFile(join(clone, MANIFEST), `${COMMENT}\n`)
    await git('commit', '-qam', 'a comment')
    // Nothing that a node wants: no node is told.
    await git('push', '-q', 'origin', 'HEAD:main')

    const injection = makeInjection('announcement changed', lab, 'lb-1', HELD)
    await injection.inject()
    const open = () => drift.report('lb-1')?.drift.find(({ healedAt }) => healedAt === null)
    await waitUntil({ what: 'it to be held', deadline: LIMIT_MS }, () =>
      open()?.held === 'policy' ? true : null,
    )
    assert.equal(open()?.key, injection.key)
    assert.match((await drift.show()).stdout, /communities \["64513:7"\] in place of \[\]/)

    const adopt = (...flags: string[]) =>
      runCommand(
        process.execPath,
        [
          CLI,
          'adopt',
          'lb-1',
          'bgp',
          injection.key,
          '--repo',
          bare,
          '--state-dir',
          join(lab.dir, 'state'),
          ...flags,
        ],
        { okExitCodes: [0, 1], timeout: 60_000 },
      )
    // lb-2 announces it too, and has not drifted.
    const refused = await adopt()
    assert.equal(refused.exitCode, 1)
    assert.match(refused.stderr, /--all-nodes/)
    const adopted = await adopt('--all-nodes')
    assert.equal(adopted.exitCode, 0, adopted.stderr)
    const branch = adopted.stdout.trim().split('\n').at(-1)!
    await git('pull', '-q', '--no-rebase', 'origin', branch)
    const text = await readFile(join(clone, MANIFEST), 'utf8')
    assert.match(text, /64513:7/)
    assert.ok(text.includes(COMMENT))
    await git('push', '-q', 'origin', 'HEAD:main')
    const revision = await git('rev-parse', 'HEAD')
    await waitUntil({ what: 'both nodes to have applied it', deadline: LIMIT_MS }, () =>
      NODES.map(node => drift.report(node)).every(
        each => each?.want?.revision === revision && each.outcome === 'applied',
      )
        ? true
        : null,
    )

    await waitUntil({ what: 'no drift', deadline: LIMIT_MS }, async () =>
      (await drift.show()).exitCode === 0 ? true : null,
    )
    const routes = await waitUntil({ what: 'the router to have both', deadline: LIMIT_MS }, async () => {
      const said = await askBird(lab, 'router', 'show', 'route', `${HELD.vip}/32`, 'all')
      return said.match(/\(64513,7\)/g)?.length === NODES.length ? said : null
    })
    assert.ok(routes.includes(HELD.vip))
  })
})
