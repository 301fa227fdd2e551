import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { objectFile } from '../../../bpf/balancer.ts'
import { run, withCleanKernel } from './lab.ts'
import {
  BACKENDS,
  type Connection,
  FRONT,
  makeNetwork,
  openTo,
  removeNetwork,
  startLoad,
  startServers,
  VIP,
} from './network.ts'
import { desiredOf, startWorker } from './worker.ts'

const NODE = `
apiVersion: ballast.dev/v1
kind: Fleet
metadata: { name: test }
spec: { vipPrefixes: [{ prefix: 203.0.113.0/24 }] }
---
apiVersion: ballast.dev/v1
kind: Node
metadata: { name: lb-1 }
spec:
  interfaces: [{ name: ${FRONT}, attach: native }]
  sources: { ipv4: 10.64.0.0/16 }
  capacity: { flows: 10000, services: 10, members: 100 }
  drain: { timeout: 60 }
`
const serviceOn = (dataplane: 'xdp' | 'ipvs'): string => `
apiVersion: ballast.dev/v1
kind: Service
metadata: { name: web }
spec:
  vip: ${VIP}
  ports: [{ port: 80, protocol: tcp }]
  dataplane: ${dataplane}
  forwarding: ipip
  backends: [{ address: 10.9.0.1 }, { address: 10.9.0.2 }, { address: 10.9.0.3 }]
`

suite('a service moves between IPVS and XDP, in one kernel', () => {
  withCleanKernel()
  let servers: ReturnType<typeof startServers>
  before(async () => {
    await makeNetwork()
    servers = startServers()
    // The other end of the link takes what the balancer sends back only with a program of its own.
    const program = ['object', objectFile('pass'), 'program', 'pass']
    await run('ip', '-n', 'client', 'link', 'set', 'dev', 'to-lb-1', 'xdpdrv', ...program)
  })
  after(async () => {
    for (const server of servers) server.close()
    await removeNetwork()
  })

  test('no request fails, no connection is lost, and none changes its backend, there and back', async t => {
    const worker = await startWorker({ withXdp: true })
    await worker.look(desiredOf(NODE, serviceOn('ipvs')))
    await using load = startLoad(2)
    for (const dataplane of ['xdp', 'ipvs'] as const) {
      const wanted = desiredOf(NODE, serviceOn(dataplane))
      const before = load.done
      const old = await openToAll()
      // Some requests are served while each of the two has the other beside it.
      const pending = await worker.look(wanted)
      assert.match(pending.join(), /^service\/203\.0\.113\.1:80\/tcp has \d+ connections left, and goes at /)
      const fresh = await openToAll()
      const during = load.done
      while (load.done < during + 10) {
        await askAll(old)
        await askAll(fresh)
      }
      assert.equal((await worker.look(wanted)).length, 1)
      const both = load.done - during
      for (const { socket } of old.values()) socket.resetAndDestroy()
      // IPVS remembers for a while what has ended.
      if (dataplane === 'xdp') worker.pass(61)
      assert.deepEqual(await worker.look(wanted), [])
      const { ipvs, xdp } = wanted
      assert.deepEqual(
        { ipvs: await rowsOf(worker.drivers.ipvs), xdp: await rowsOf(worker.drivers.xdp) },
        { ipvs, xdp },
      )
      await askAll(fresh)
      for (const { socket } of fresh.values()) socket.resetAndDestroy()
      t.diagnostic(
        `to ${dataplane}: ${load.done - before} requests, ${both} of them while both served; ${load.failures.length} failed`,
      )
    }
    await load.stop()
    assert.deepEqual(load.failures, [])
  })
})

const rowsOf = async (driver: { observe(): Promise<{ rows: unknown }> } | undefined): Promise<unknown> =>
  (await driver!.observe()).rows

/** A connection to each backend. */
async function openToAll(): Promise<Map<string, Connection>> {
  const connections = new Map<string, Connection>()
  for (const name of BACKENDS) connections.set(name, await openTo(name))
  return connections
}

/** Each is where it was. */
async function askAll(connections: ReadonlyMap<string, Connection>): Promise<void> {
  for (const [name, connection] of connections) assert.equal(await connection.ask(), name)
}
