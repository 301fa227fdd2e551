import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Driver } from '../../reconciler/drivers/driver.ts'
import { allHealthy } from '../../reconciler/effective/effective-tables.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { openDepartures } from '../../reconciler/worker/departures.ts'
import { createNode } from '../../reconciler/worker/node.ts'
import { BallastError } from '../../schemas/ballast-error.ts'
import { digestOf } from '../../schemas/digest.ts'
import { NODE_STATE_VERSION, type NodeTables, type Rows } from '../../schemas/node-state.ts'
import { tablesFor } from '../plan/offers.ts'
import { createFakeDriver } from './fake-driver.ts'

const never = new AbortController().signal
const offer = (vip: string, host: number) =>
  ({ vip, dataplane: 'xdp', announced: true, backends: [`10.0.1.${host}`] }) as const
const [OLD, KEPT, NEW] = ['203.0.113.1', '203.0.113.2', '203.0.113.3'] as const

test('a BGP daemon that hangs keeps no service from changing, and none goes until it answers (rules 1, 2)', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-unreadable-'))
  t.after(() => rm(dir, { recursive: true }))
  const xdp = createFakeDriver()
  let isHung = false
  const bgp: Driver<Rows['bgp']> & { rows: NodeTables['bgp'] } = {
    ...(createFakeDriver() as unknown as Driver<Rows['bgp']>),
    name: 'bgp',
    rows: {},
    async fingerprint() {
      if (isHung) throw hung()
      return digestOf(bgp.rows)
    },
    async observe() {
      if (isHung) throw hung()
      const digest = digestOf(bgp.rows)
      return { rows: structuredClone(bgp.rows), facts: {}, digest, fingerprint: digest }
    },
    async apply(edits) {
      for (const edit of edits)
        if (edit.op === 'delete') delete bgp.rows[edit.key]
        else bgp.rows[edit.key] = edit.after
      return edits.map(({ key }) => ({ result: 'applied', key }))
    },
  }
  const hung = () =>
    new BallastError({ code: 'BGP_DAEMON_HUNG', message: 'no answer', hint: 'look', retryable: true })
  let clock = 0
  const drivers = { xdp, bgp }
  const node = createNode({
    file: join(dir, 'last-good.json'),
    lastGood: null,
    drivers,
    departures: await openDepartures(join(dir, 'leaving.json'), drivers, () => clock),
    health: allHealthy,
    bootId: 'boot',
    log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
    now: () => clock,
    onNews: async () => {},
    pause: () => null,
    findWriter: async () => null,
  })
  const adopt = (generation: number, tables: NodeTables) =>
    node.adopt(
      {
        version: 1,
        node: 'lb-1',
        generation,
        revision: 'a'.repeat(40),
        stateDigest: digestOf(tables),
        drift: 'repair',
        at: 0,
      },
      { version: NODE_STATE_VERSION, node: 'lb-1', tables },
    )
  const services = () => Object.keys(xdp.rows).filter(key => key.startsWith('service/'))
  const keyOf = (vip: string) => `service/${vip}:80/tcp`

  await adopt(1, tablesFor([offer(OLD, 1), offer(KEPT, 1)]))
  await node.step(never)
  assert.equal(node.status.outcome, 'applied')
  isHung = true
  const wanted = tablesFor([offer(KEPT, 2), offer(NEW, 1)])
  await adopt(2, wanted)
  await node.step(never)
  assert.deepEqual(services().sort(), [OLD, KEPT, NEW].map(keyOf))
  assert.deepEqual(xdp.rows[keyOf(KEPT)], wanted.xdp[keyOf(KEPT)])
  assert.equal(node.status.outcome, 'failed')
  assert.deepEqual(
    node.status.failures.map(({ driver, code }) => `${driver} ${code}`),
    ['bgp BGP_DAEMON_HUNG'],
  )

  isHung = false
  clock += 1000
  await node.step(never)
  assert.deepEqual([xdp.rows, bgp.rows], [wanted.xdp, wanted.bgp])
  assert.equal(node.status.outcome, 'applied')
})
