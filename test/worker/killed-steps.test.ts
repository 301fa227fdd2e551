import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Driver } from '../../reconciler/drivers/driver.ts'
import { allHealthy } from '../../reconciler/effective/effective-tables.ts'
import { createLog } from '../../reconciler/log/log.ts'
import type { Drivers } from '../../reconciler/worker/converge.ts'
import { openDepartures } from '../../reconciler/worker/departures.ts'
import { readLastGood } from '../../reconciler/worker/last-good-file.ts'
import { createNode } from '../../reconciler/worker/node.ts'
import { digestOf } from '../../schemas/digest.ts'
import {
  type DriverName,
  emptyTables,
  NODE_STATE_VERSION,
  type NodeTables,
  type Rows,
} from '../../schemas/node-state.ts'
import type { Want } from '../../schemas/want.ts'
import { type Offer, tablesFor } from '../plan/offers.ts'

/** A dataplane and a BGP daemon in memory. It outlives processes, and knows whether a packet would find its way. */
interface World {
  tables: NodeTables
  clock: number
  /** Connections of every service and backend until then, ms. */
  connectionsUntil: number
  /** Calls of drivers until the process is killed. */
  callsLeft: number
  readonly calls: number
  readonly drivers: Drivers
}

class Killed extends Error {}

function makeWorld(tables: NodeTables): World {
  let calls = 0
  const driverOf = <D extends DriverName>(name: D): Driver<Rows[D]> => {
    const table = () => world.tables[name] as Record<string, Rows[D]>
    const call = (): void => {
      if (world.callsLeft <= 0) throw new Killed()
      calls += 1
      world.callsLeft -= 1
    }
    return {
      name,
      capabilities: async () => ({ available: true, reason: '' }),
      fingerprint: async () => {
        call()
        return digestOf(table())
      },
      observe: async () => {
        call()
        const rows = structuredClone(table())
        return { rows, facts: {}, digest: digestOf(rows), fingerprint: digestOf(rows) }
      },
      connections: async keys => {
        call()
        return new Map(keys.map(key => [key, world.clock < world.connectionsUntil ? BUSY : IDLE]))
      },
      apply: async edits => {
        // A kill comes between any two of them.
        for (const edit of edits) {
          call()
          if (edit.op === 'delete') delete table()[edit.key]
          else table()[edit.key] = edit.after
          judge(world)
        }
        return edits.map(({ key }) => ({ result: 'applied', key }))
      },
      close: async () => {},
    }
  }
  const world: World = {
    tables: structuredClone(tables),
    clock: 1_000_000,
    connectionsUntil: 0,
    callsLeft: Number.POSITIVE_INFINITY,
    get calls() {
      return calls
    },
    drivers: { xdp: driverOf('xdp'), ipvs: driverOf('ipvs'), bgp: driverOf('bgp') },
  }
  return world
}

const IDLE: ReadonlyMap<string, number> = new Map()
const BUSY = new Map(
  ['10.0.1.1', '10.0.1.2', '10.0.1.3'].flatMap(each => [[each, 1] as const, [`${each} 80`, 1] as const]),
)

/** What is announced is served, by a backend that takes new flows (rule 2). */
function judge({ tables }: World): void {
  for (const row of Object.values(tables.bgp)) {
    if (row.kind !== 'route') continue
    const key = `service/${row.prefix.replace('/32', '')}:80/tcp`
    const service = tables.xdp[key] ?? tables.ipvs[key]
    assert.ok(service?.kind === 'service', `${row.prefix} is announced and not served`)
    assert.ok(
      service.backends.some(({ weight }) => weight > 0),
      `${row.prefix} is announced and drained`,
    )
  }
}

const [A, B] = ['203.0.113.1', '203.0.113.2'] as const
const xdp = (vip: string, ...hosts: number[]): Offer => offer('xdp', vip, hosts)
const ipvs = (vip: string, ...hosts: number[]): Offer => offer('ipvs', vip, hosts)
const offer = (dataplane: Offer['dataplane'], vip: string, hosts: readonly number[]): Offer => ({
  vip,
  dataplane,
  announced: true,
  backends: hosts.map(host => `10.0.1.${host}`),
})
const silent = (offer: Offer): Offer => ({ ...offer, announced: false })

const OPERATIONS: readonly [title: string, before: readonly Offer[], after: readonly Offer[]][] = [
  ['a node comes up', [], [xdp(A, 1, 2), ipvs(B, 1, 2)]],
  ['a service is added', [xdp(A, 1)], [xdp(A, 1), xdp(B, 2)]],
  ['a service is removed', [xdp(A, 1), xdp(B, 2)], [xdp(A, 1)]],
  ['a service of IPVS is removed', [xdp(A, 1), ipvs(B, 2)], [xdp(A, 1)]],
  ['a service moves from IPVS to XDP', [ipvs(A, 1, 2)], [xdp(A, 1, 2)]],
  ['a service moves from XDP to IPVS', [xdp(A, 1, 2)], [ipvs(A, 1, 2)]],
  ['backends of IPVS change', [ipvs(A, 1, 2)], [ipvs(A, 2, 3)]],
  ['a node goes into maintenance', [xdp(A, 1), ipvs(B, 2)], [silent(xdp(A, 1)), silent(ipvs(B, 2))]],
  ['a node comes back from maintenance', [silent(xdp(A, 1)), silent(ipvs(B, 2))], [xdp(A, 1), ipvs(B, 2)]],
  ['a node leaves', [xdp(A, 1), ipvs(B, 2)], []],
]

const never = new AbortController().signal
const log = createLog({ level: 'silent', format: 'json', destination: process.stderr })

/** Brings the world to what is wanted, killed after so many calls; gives whether it was. */
async function operate(dir: string, world: World, want: Want, wanted: NodeTables): Promise<boolean> {
  let wasKilled = false
  for (let looks = 0; looks < 400; looks += 1) {
    const file = join(dir, 'last-good.json')
    const now = () => world.clock
    const node = createNode({
      file,
      lastGood: await readLastGood(file),
      drivers: world.drivers,
      departures: await openDepartures(join(dir, 'leaving.json'), world.drivers, now),
      health: allHealthy,
      bootId: 'boot',
      log,
      now,
      onNews: async () => {},
      pause: () => null,
      findWriter: async () => null,
    })
    try {
      await node.adopt(want, { version: NODE_STATE_VERSION, node: 'lb-1', tables: wanted })
      for (; looks < 400; looks += 1) {
        await node.step(never)
        if (world.callsLeft <= 0) throw new Killed()
        assert.deepEqual(node.status.drift, [], 'its own work is no drift')
        if (node.status.outcome === 'applied') return wasKilled
        world.clock += 1000
      }
    } catch (error) {
      if (!(error instanceof Killed) && world.callsLeft > 0) throw error
      wasKilled = true
      world.callsLeft = Number.POSITIVE_INFINITY
    }
  }
  assert.fail(`does not end: ${JSON.stringify(world.tables)}`)
}

for (const [title, before, after] of OPERATIONS)
  test(`${title}, killed after any step, with connections and without (rules 2, 5)`, async t => {
    const wanted = after.length === 0 ? emptyTables() : tablesFor(after)
    for (const connectionsFor of [0, 5_000, 120_000])
      for (let calls = 1; ; calls += 1) {
        const dir = await mkdtemp(join(tmpdir(), 'ballast-killed-'))
        t.after(() => rm(dir, { recursive: true, force: true }))
        const world = makeWorld(tablesFor(before))
        judge(world)
        world.connectionsUntil = world.clock + connectionsFor
        world.callsLeft = calls
        const want: Want = {
          version: 1,
          node: 'lb-1',
          generation: 1,
          revision: 'a'.repeat(40),
          stateDigest: digestOf(wanted),
          drift: 'repair',
          handover: { shutdownTime: 2, drainTimeout: 30 },
          at: 0,
        }
        const wasKilled = await operate(dir, world, want, wanted)
        assert.deepEqual(world.tables, wanted)
        if (!wasKilled) break
      }
  })
