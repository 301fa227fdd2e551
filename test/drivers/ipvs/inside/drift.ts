import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { nameDrift } from '../../../../reconciler/drift/name-drift.ts'
import { allHealthy } from '../../../../reconciler/effective/effective-tables.ts'
import { createLog } from '../../../../reconciler/log/log.ts'
import { openDepartures } from '../../../../reconciler/worker/departures.ts'
import { createNode } from '../../../../reconciler/worker/node.ts'
import { digestOf } from '../../../../schemas/digest.ts'
import {
  emptyTables,
  type IpvsRow,
  type IpvsServiceRow,
  NODE_STATE_VERSION,
  type Table,
} from '../../../../schemas/node-state.ts'
import type { DriftItem } from '../../../../schemas/report.ts'
import { WANT_VERSION } from '../../../../schemas/want.ts'
import { never } from '../../contract.ts'
import { backend, service, sysctl, tableOf, vip } from '../tables.ts'
import { open, restore, run, withCleanKernel } from './lab.ts'

/** Every kind of drift that IPVS can have. All at once: a program takes this kernel long to start. */

/** Of others, on this address, this mark and these sysctls. */
const MANUAL = '198.51.100.1'
const SLOPPY = '/proc/sys/net/ipv4/vs/sloppy_tcp'
const THRESHOLD = '/proc/sys/net/ipv4/vs/sync_threshold'

/** A service on each port, for what is done to it: 10.0.0.1 to 3, scheduled by `mh`. */
const PORTS = {
  removed: 1,
  scheduler: 2,
  flags: 3,
  persistence: 4,
  backendRemoved: 5,
  backendAdded: 6,
  weight: 7,
  forwarding: 8,
  thresholds: 9,
  order: 10,
  untouched: 11,
  added: 12,
} as const
const at = (what: keyof typeof PORTS): string => `203.0.113.1:${PORTS[what]}`
const keyOf = (what: keyof typeof PORTS): string => `service/${at(what)}/tcp`

const onPort = (port: number, fields: Partial<IpvsServiceRow> = {}): IpvsServiceRow =>
  service({
    match: { by: 'address', vip: '203.0.113.1', port, protocol: 'tcp' },
    backends: [1, 2, 3].map(host => backend({ address: `10.0.0.${host}`, port })),
    ...fields,
  })

const { added: _, ...ports } = PORTS

const WANTED = tableOf(
  vip('203.0.113.1', 'vips'),
  vip('203.0.113.2'),
  vip('2001:db8:f::1'),
  ...Object.values(ports).map(port => onPort(port)),
  service({
    match: { by: 'address', vip: '203.0.113.1', port: 53, protocol: 'udp' },
    scheduler: 'wrr',
    schedulerFlags: { port: false, fallback: false },
    backends: [backend({ address: '10.0.0.1', port: 53 })],
  }),
  service({
    match: { by: 'address', vip: '2001:db8:f::1', port: 99, protocol: 'tcp' },
    persistence: { timeout: 60, prefixLength: 64, engine: '' },
    backends: [backend({ address: 'fd00::1', port: 99 })],
  }),
  service({
    match: { by: 'fwmark', mark: 7, family: 'ipv4' },
    backends: [backend({ address: '10.0.0.1', port: 0, forwarding: { method: 'l2' } })],
  }),
  { kind: 'timeouts', tcp: 1000, tcpFin: 60, udp: 20 },
  sysctl('net.ipv4.vs.sync_threshold', '5 40'),
  {
    ...{ kind: 'sync', role: 'master', interface: 'sync0', id: 1, group: '224.0.0.81' },
    ...{ port: 8848, ttl: 1, maxLength: 1472 },
  },
)

interface Round {
  readonly what: string
  readonly byHand: () => Promise<unknown>
  /** By key: what has happened, and which fields of the row differ. */
  readonly found: Readonly<Record<string, string>>
}

const ROUNDS: readonly Round[] = [
  {
    what: 'each row in a way of its own',
    async byHand() {
      await restore(
        `-D -t ${at('removed')}`,
        `-A -t ${at('added')} -s rr`,
        `-a -t ${at('added')} -r 10.0.0.9:80 -m`,
        `-E -t ${at('scheduler')} -s wlc`,
        `-E -t ${at('flags')} -s mh -b mh-port`,
        `-E -t ${at('persistence')} -s mh -b mh-port,mh-fallback -p 300`,
        `-d -t ${at('backendRemoved')} -r 10.0.0.2:${PORTS.backendRemoved}`,
        `-a -t ${at('backendAdded')} -r 10.0.0.9:${PORTS.backendAdded} -i`,
        `-e -t ${at('weight')} -r 10.0.0.2:${PORTS.weight} -i -w 9`,
        `-e -t ${at('forwarding')} -r 10.0.0.2:${PORTS.forwarding} -m -w 1`,
        `-e -t ${at('thresholds')} -r 10.0.0.2:${PORTS.thresholds} -i -w 1 -x 100 -y 50`,
        `-d -t ${at('order')} -r 10.0.0.1:${PORTS.order}`,
        `-a -t ${at('order')} -r 10.0.0.1:${PORTS.order} -i -w 1`,
        '-E -u 203.0.113.1:53 -s wrr -o',
        '-E -t [2001:db8:f::1]:99 -s mh -b mh-port,mh-fallback',
        '-D -f 7',
      )
      await run('ipvsadm', '--set', '900', '120', '300')
      await run('ipvsadm', '--stop-daemon', 'master')
      await run('ip', 'addr', 'del', '203.0.113.1/32', 'dev', 'vips')
      await run('sysctl', '-w', 'net.ipv4.vs.sync_threshold=3 50')
    },
    found: {
      [keyOf('removed')]: 'service missing',
      [keyOf('added')]: 'service unexpected',
      [keyOf('scheduler')]: 'service changed: scheduler schedulerFlags',
      [keyOf('flags')]: 'service changed: schedulerFlags',
      [keyOf('persistence')]: 'service changed: persistence',
      [keyOf('backendRemoved')]: 'service changed: backends',
      [keyOf('backendAdded')]: 'service changed: backends',
      [keyOf('weight')]: 'service changed: backends',
      [keyOf('forwarding')]: 'service changed: backends',
      [keyOf('thresholds')]: 'service changed: backends',
      [keyOf('order')]: 'service changed: backends',
      'service/203.0.113.1:53/udp': 'service changed: onePacket',
      'service/[2001:db8:f::1]:99/tcp': 'service changed: persistence',
      'fwmark/7/ipv4': 'fwmark missing',
      timeouts: 'timeouts changed: tcp tcpFin udp',
      'sync/master': 'sync missing',
      'vip/203.0.113.1': 'address lost: interface',
      'sysctl/net.ipv4.vs.sync_threshold': 'sysctl changed: value',
    },
  },
  {
    what: 'a VIP on another interface, and a daemon of another id',
    async byHand() {
      await run('ip', 'addr', 'del', '203.0.113.2/32', 'dev', 'lo')
      await run('ip', 'addr', 'add', '203.0.113.2/32', 'dev', 'vips')
      await run('ipvsadm', '--stop-daemon', 'master')
      await run('ipvsadm', '--start-daemon', 'master', '--mcast-interface', 'sync0', '--syncid', '9')
    },
    found: { 'vip/203.0.113.2': 'address lost: interface', 'sync/master': 'sync changed: id' },
  },
]

/** All that IPVS, the interfaces and the sysctls hold, of whomever, as their own tools say it. */
async function dump(): Promise<string[]> {
  const texts = [
    await run('ipvsadm', '-S', '-n'),
    await run('ipvsadm', '-L', '-n', '--thresholds', '--nosort'),
    await run('ipvsadm', '-L', '--timeout'),
    await run('ipvsadm', '-L', '--daemon'),
    await run('ip', '-o', 'addr', 'show', 'scope', 'global'),
    ...[SLOPPY, THRESHOLD].map(file => readFileSync(file, 'utf8')),
  ]
  return texts.flatMap(text => text.split('\n')).sort()
}

/** Which is no drift. */
async function changeOthers(): Promise<void> {
  await restore(`-A -t ${MANUAL}:443 -s rr`)
  await run('ip', 'addr', 'replace', `${MANUAL}/32`, 'dev', 'lo')
  writeFileSync(SLOPPY, '0')
  await run('ipvsadm', '--start-daemon', 'backup', '--mcast-interface', 'sync0')
}

suite('drift of IPVS', () => {
  withCleanKernel()

  test('every kind, made by hand, is found, named and repaired; what is of others stays', async () => {
    await run('ip', 'link', 'add', 'sync0', 'type', 'veth', 'peer', 'name', 'sync1')
    for (const name of ['sync0', 'sync1']) await run('ip', 'link', 'set', name, 'up')
    await run('ip', 'addr', 'add', '10.9.0.1/24', 'dev', 'sync0')
    await restore(
      `-A -t ${MANUAL}:80 -s rr -p 77`,
      `-a -t ${MANUAL}:80 -r 10.0.0.9:80 -m -w 3`,
      '-A -f 9 -s rr',
    )
    writeFileSync(SLOPPY, '1')
    const { look, pass } = await startNode(WANTED)
    assert.deepEqual(await look(), { outcome: 'applied', drift: {} })
    await changeOthers()
    for (const { what, byHand, found } of ROUNDS) {
      const before = await dump()
      pass()
      await byHand()
      assert.deepEqual(await look(), { outcome: 'applied', drift: found }, what)
      assert.deepEqual(await dump(), before, what)
    }
  })
})

/** More than the time within which repairs of one row are counted. */
const BETWEEN_MS = 3_600_000

/** A node of a worker, that looks when it is asked to. */
async function startNode(table: Table<IpvsRow>) {
  const dir = mkdtempSync('/run/drift-')
  const drivers = { ipvs: open() }
  let clock = 0
  const node = createNode({
    file: join(dir, 'last-good.json'),
    lastGood: null,
    drivers,
    departures: await openDepartures(join(dir, 'leaving.json'), drivers, () => clock),
    health: allHealthy,
    bootId: 'this boot',
    log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
    now: () => clock,
    onNews: async () => {},
    pause: () => null,
    findWriter: async () => null,
  })
  const tables = { ...emptyTables(), ipvs: table }
  await node.adopt(
    {
      ...{ version: WANT_VERSION, node: 'lb-1', generation: 1, revision: 'a'.repeat(40), at: 0 },
      ...{ stateDigest: digestOf(tables), drift: 'repair' },
    },
    { version: NODE_STATE_VERSION, node: 'lb-1', tables },
  )
  return {
    pass() {
      clock += BETWEEN_MS
    },
    /** What it came to, and what of it was drift that was repaired now. */
    async look() {
      await node.step(never)
      const { outcome, drift, failures } = node.status
      assert.deepEqual(failures, [])
      const now = drift.filter(({ since, healedBy }) => since === clock && healedBy === 'repair')
      assert.equal(drift.filter(({ healedAt }) => healedAt === null).length, 0)
      return { outcome, drift: Object.fromEntries(now.map(item => [item.key, describe(item)])) }
    },
  }
}

function describe(item: DriftItem): string {
  const [desired, observed] = [item.desired, item.observed] as Record<string, unknown>[]
  if (item.kind !== 'changed') return nameDrift(item)
  const fields = Object.keys(desired!).filter(field => !isDeepStrictEqual(desired![field], observed![field]))
  return `${nameDrift(item)}: ${fields.join(' ')}`
}
