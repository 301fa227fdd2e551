import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { readTrailers } from '../../reconciler/drift/drift-message.ts'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { pidFileOf } from '../../reconciler/lab/routing.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { listen, startAlertmanager } from '../alerts/alertmanager.ts'
import { disagreeOnRing, INJECTIONS } from './by-hand.ts'
import {
  BRANCH,
  findOnFleet,
  HELD,
  inject,
  isOpen,
  killNode,
  type Outcome,
  withDriftLab,
} from './drift-lab.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'
const LIMIT_MS = 30_000
/** A service that nothing is done to, on a node that stays whole. */
const SPARED = '203.0.113.10'

interface Webhook {
  readonly alerts: readonly { readonly status: string; readonly labels: Readonly<Record<string, string>> }[]
}

/** `lb-1 xdp service/…`. */
const nameOf = ({ injection: { node, driver, key } }: Outcome): string => `${node} ${driver} ${key}`

test('every kind of drift is found, repaired, told to Alertmanager, and committed in order though the Git server was away', {
  skip,
}, async t => {
  const people = await listen(t)
  const url = await startAlertmanager(t, people.url)
  const alerts = { receivers: [{ type: 'alertmanager', name: 'ops', url }] }
  const options = { name: `drift-${process.pid}`, victims: 14, commitAfter: 100, scanInterval: 300, alerts }
  await withDriftLab(options, async drift => {
    const { lab, server, victims, git } = drift
    const load = await startLoad(lab, { targets: [`http://${SPARED}/`], interval: 20, timeout: 10_000 })
    const subjects = async (): Promise<string[]> =>
      (await git('log', '--reverse', '--format=%s', BRANCH)).split('\n').filter(Boolean)

    const outcomes: Outcome[] = []
    for (const [at, name] of Object.keys(INJECTIONS).entries()) {
      // The server is away for a while, then refuses, then is there again.
      if (at === 4) await server.stop()
      if (at === 7) {
        server.manners.status = 503
        await server.start()
      }
      if (at === 9) server.manners.status = null
      const node = at % 2 === 0 ? 'lb-1' : 'lb-2'
      outcomes.push(await inject(drift, name, node, victims[at]!))
      // Or there would be nobody to ask while the next is spoilt.
      await drift.settle()
    }
    const unfound = outcomes.filter(({ detect, repaired }) => detect === null || !repaired)
    assert.deepEqual(unfound.map(nameOf), [])
    await load.stop()
    assert.ok(load.events.length > 100)
    assert.deepEqual(failuresOf(load.events), [])

    const mend = await disagreeOnRing(lab, 'lb-1', HELD)
    assert.notEqual(await findOnFleet(drift, null, 'rings-disagree', Date.now()), null)
    const { exitCode, stdout } = await drift.show()
    assert.equal(exitCode, 2)
    assert.match(
      stdout,
      /^lb-1 chooses other backends of v-99 \(\d+ slots\) than lb-2 \([^)]+% of its flows go to another backend there\), for /m,
    )
    await mend()
    const revive = await killNode(drift, 'lb-2')
    assert.notEqual(await findOnFleet(drift, 'lb-2', 'unreachable', Date.now()), null)
    await revive()
    await drift.settle()
    // A worker whose BGP daemon hangs says so, and is itself no silent one.
    const bird = Number.parseInt(await readFile(pidFileOf(lab, 'lb-1'), 'utf8'), 10)
    process.kill(bird, 'SIGSTOP')
    await waitUntil({ what: 'the node to say that BIRD hangs', deadline: LIMIT_MS }, () =>
      drift.report('lb-1')?.failures.some(({ code }) => code === 'BGP_DAEMON_HUNG') ? true : null,
    )
    assert.equal(await isOpen(drift, 'lb-1', 'unreachable'), false)
    process.kill(bird, 'SIGCONT')
    await drift.settle()

    const wanted = [...outcomes.map(nameOf), 'lb-2 node report']
    const told = async () =>
      readTrailers(await git('log', '--reverse', '--format=%B', BRANCH)).map(({ trailer }) => trailer)
    await waitUntil(
      { what: 'all to be committed, and the tree to be empty', deadline: LIMIT_MS },
      async () => {
        const names = new Set((await told()).map(({ node, driver, key }) => `${node} ${driver} ${key}`))
        const isEmpty = (await git('ls-tree', '-r', BRANCH)) === ''
        return isEmpty && wanted.every(name => names.has(name)) ? true : null
      },
    )
    const last = new Map<string, number>()
    for (const { node, driver, key, since, healedAt } of await told()) {
      const [name, until] = [`${node} ${driver} ${key}`, Date.parse(healedAt ?? since)]
      assert.ok(until >= (last.get(name) ?? 0), `what happened to ${name} is told in its order`)
      last.set(name, until)
    }
    assert.ok((await subjects()).every(subject => subject.endsWith('[skip ci]')))

    const heard = () =>
      people.requests
        .flatMap(({ body }) => (JSON.parse(body) as Webhook).alerts)
        .map(({ labels: { node, driver, key } }) => `${node} ${driver} ${key}`)
    await waitUntil({ what: 'Alertmanager to tell of all', deadline: LIMIT_MS }, () => {
      const names = new Set(heard())
      return wanted.every(name => names.has(name)) ? true : null
    })
  })
})
