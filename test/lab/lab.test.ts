import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { hostNames } from '../../reconciler/lab/compose-network.ts'
import { type Lab, labDown, labUp, removeOrphans } from '../../reconciler/lab/lab.ts'
import { failuresOf, responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { CONTROL, hostsOf, TOPOLOGY } from '../../reconciler/lab/topology.ts'
import { startBackends, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { type Program, runCommand, startProgram } from '../../reconciler/process/run-command.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces'

let count = 0
const makeName = (t: TestContext): string => {
  const name = `test-${process.pid}-${++count}`
  t.after(() => labDown(name))
  return name
}

const namespacesOf = async (name: string): Promise<string[]> =>
  (await readdir('/run/netns').catch(() => [])).filter(each => each.startsWith(`bl-${name}-`))

const isMounted = async (dir: string): Promise<boolean> =>
  (await readFile('/proc/mounts', 'utf8')).includes(` ${dir} `)

/** A program that is there, and in its namespace, when this resolves. */
async function sleepOn(lab: Lab, host: string): Promise<Program> {
  const command = lab.on(host, ['sh', '-c', 'echo here; exec sleep 1000'])
  const program = await startProgram(...command, { stdout: 'pipe', detached: true })
  await once(program.stdout!, 'data')
  return program
}

describe('the lab', { skip }, () => {
  test('carries connections of both families between client and backends', async t => {
    const lab = await labUp(makeName(t))
    await startBackends(lab)
    const backends = hostsOf(lab.topology, 'backend')
    const targets = backends.flatMap(({ addresses: { ipv4, ipv6 } }) => [
      `http://${ipv4}/`,
      `http://[${ipv6}]:8080/`,
    ])
    const load = await startLoad(lab, { targets, interval: 5, timeout: 3_000 })
    await waitUntil({ what: '60 requests', deadline: 20_000 }, () => (load.events.length >= 60 ? true : null))
    await load.stop()
    assert.deepEqual(failuresOf(load.events), [])
    for (const { name, addresses } of backends) {
      const served = responsesOf(load.events).filter(({ target }) => target.includes(addresses.ipv4))
      assert.ok(served.length > 0)
      assert.ok(served.every(({ backend }) => backend === name))
    }
  })

  test('stays as it is when it is asked for again, and loses everything when it is taken down', async t => {
    const name = makeName(t)
    const lab = await labUp(name)
    const [before, bystander] = [await namespacesOf(name), await sleepOn(lab, 'client')]
    t.after(() => bystander.stop(0))
    await labUp(name)
    assert.deepEqual(await namespacesOf(name), before)
    assert.ok(existsSync(`/proc/${bystander.pid}`))
    assert.ok(await isMounted(lab.bpffs))

    assert.equal(await labDown(name), true)
    assert.equal((await bystander.exited).signal, 'SIGTERM')
    assert.deepEqual(await namespacesOf(name), [])
    assert.equal(await isMounted(lab.bpffs), false)
    assert.equal(existsSync(lab.dir), false)
    assert.equal(await labDown(name), false)
  })

  test('is made anew when a part of it is missing', async t => {
    const name = makeName(t)
    const lab = await labUp(name)
    await runCommand('ip', ['netns', 'delete', lab.namespace('lb-2')])
    await labUp(name)
    const hosts = hostNames(TOPOLOGY)
    assert.deepEqual((await namespacesOf(name)).sort(), hosts.map(host => lab.namespace(host)).sort())
  })

  test('is removed as an orphan once its owner is gone, with what ran on it, and not before', async t => {
    const name = makeName(t)
    const owner = await startProgram('sleep', ['1000'])
    t.after(() => owner.stop(0))
    const lab = await labUp(name, owner.pid)
    const server = await sleepOn(lab, CONTROL)
    t.after(() => server.stop(0))
    await removeOrphans()
    assert.ok(existsSync(lab.dir))
    await assert.rejects(labUp(name), { code: 'LAB_IN_USE' })

    await owner.stop(0)
    await removeOrphans()
    await server.exited
    assert.equal(existsSync(lab.dir), false)
    assert.deepEqual(await namespacesOf(name), [])
  })

  test('refuses a name that could leave its folder', async () => {
    await assert.rejects(labUp('../x'), { code: 'LAB_NAME_INVALID' })
  })
})
