import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { effectiveTables } from '../../reconciler/effective/effective-tables.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import { NodeState } from '../../schemas/node-state.ts'

const apiVersion = 'ballast.dev/v1'
const fleet = { kind: 'Fleet', metadata: { name: 'demo' } }
const service = (spec: object) => ({
  kind: 'Service',
  metadata: { name: 'web' },
  spec: {
    vip: '203.0.113.10',
    ports: [{ port: 80, protocol: 'tcp' }],
    dataplane: 'ipvs',
    backends: [{ address: '10.0.0.1' }],
    ...spec,
  },
})

function tablesOf(spec: object, node: object = {}) {
  const resources = [fleet, { kind: 'Node', metadata: { name: 'lb-1' }, spec: node }, service(spec)]
  const { nodes } = buildDesired(resources.map(each => Resource.parse({ apiVersion, ...each })))
  const { state, names } = nodes.get('lb-1')!
  assert.deepEqual(NodeState.parse(state), state)
  return { tables: state.tables, names }
}

const serviceOf = (spec: object, key = 'service/203.0.113.10:80/tcp') => {
  const row = tablesOf(spec).tables.ipvs[key]
  assert.ok(row?.kind === 'service', key)
  return row
}

test('a node of IPVS has the services, the VIPs and the sysctls that they need, and nothing of XDP', () => {
  const { tables, names } = tablesOf({
    backends: [
      { address: '10.0.0.10', weight: 5 },
      { address: '10.0.0.9', drain: true, thresholds: { upper: 100, lower: 80 } },
    ],
  })
  assert.deepEqual(tables.xdp, {})
  assert.deepEqual(names, { 'service/203.0.113.10:80/tcp': 'web' })
  const backend = { port: 80, forwarding: { method: 'ipip' } }
  const owned = (name: string) => ({ kind: 'sysctl', name, value: '1' })
  assert.deepEqual(tables.ipvs, {
    'service/203.0.113.10:80/tcp': {
      kind: 'service',
      match: { by: 'address', vip: '203.0.113.10', port: 80, protocol: 'tcp' },
      scheduler: 'mh',
      schedulerFlags: { port: true, fallback: true },
      persistence: null,
      onePacket: false,
      backends: [
        { ...backend, address: '10.0.0.9', weight: 0, upper: 100, lower: 80 },
        { ...backend, address: '10.0.0.10', weight: 5, upper: 0, lower: 0 },
      ],
    },
    'vip/203.0.113.10': { kind: 'vip', address: '203.0.113.10', interface: 'lo' },
    'sysctl/net.ipv4.vs.sloppy_tcp': owned('net.ipv4.vs.sloppy_tcp'),
    'sysctl/net.ipv4.vs.expire_nodest_conn': owned('net.ipv4.vs.expire_nodest_conn'),
    'sysctl/net.ipv4.vs.expire_quiescent_template': owned('net.ipv4.vs.expire_quiescent_template'),
    'sysctl/net.ipv4.vs.conn_reuse_mode': owned('net.ipv4.vs.conn_reuse_mode'),
  })
})

test('what a Node says of IPVS holds while it has services of IPVS', () => {
  const ipvs = {
    interface: 'vips',
    timeouts: { udp: 20 },
    sync: [{ role: 'backup', interface: 'eth1' }],
    sysctls: { 'net.ipv4.vs.sloppy_tcp': 0, 'net.ipv4.ip_forward': '1' },
  }
  const { ipvs: rows } = tablesOf({ forwarding: 'l2' }, { ipvs }).tables
  assert.deepEqual(rows['vip/203.0.113.10'], { kind: 'vip', address: '203.0.113.10', interface: 'vips' })
  assert.deepEqual(rows.timeouts, { kind: 'timeouts', tcp: 900, tcpFin: 120, udp: 20 })
  const sync = rows['sync/backup']
  assert.ok(sync?.kind === 'sync' && sync.interface === 'eth1' && sync.maxLength === 1472)
  const values = Object.values(rows).flatMap(row => (row.kind === 'sysctl' ? [[row.name, row.value]] : []))
  assert.deepEqual(Object.fromEntries(values), {
    'net.ipv4.vs.sloppy_tcp': '0',
    'net.ipv4.vs.expire_nodest_conn': '1',
    'net.ipv4.vs.expire_quiescent_template': '1',
    'net.ipv4.vs.conn_reuse_mode': '1',
    // With direct routing no node may answer for a VIP.
    'net.ipv4.conf.all.arp_ignore': '1',
    'net.ipv4.conf.all.arp_announce': '2',
    'net.ipv4.ip_forward': '1',
  })
  const interfaces = [{ name: 'eth0' }]
  assert.deepEqual(tablesOf({ dataplane: 'xdp' }, { ipvs, interfaces }).tables.ipvs, {})
})

test('ports, tunnels, persistence, marks and schedulers are those of the manifest', () => {
  const [nat] = serviceOf({ forwarding: 'nat', backends: [{ address: '10.0.0.1', port: 8080 }] }).backends
  assert.deepEqual([nat?.port, nat?.forwarding], [8080, { method: 'nat' }])
  const forwarding = (spec: object) => serviceOf(spec).backends[0]?.forwarding
  assert.deepEqual(forwarding({ forwarding: 'gue' }), { method: 'gue', port: 6080, checksum: 'none' })
  assert.deepEqual(forwarding({ forwarding: 'gue', gue: { port: 7, checksum: 'remote' } }), {
    method: 'gue',
    port: 7,
    checksum: 'remote',
  })
  assert.deepEqual(forwarding({ forwarding: 'gre', gre: { checksum: 'full' } }), {
    method: 'gre',
    checksum: 'full',
  })
  const sh = serviceOf({ scheduler: 'sh', ipvs: { schedulerFlags: { port: true } } })
  assert.deepEqual([sh.scheduler, sh.schedulerFlags], ['sh', { port: true, fallback: false }])
  const marked = { vip: ['203.0.113.10', '2001:db8::10'], ports: [] }
  const ipvs = { fwmark: 7, persistence: { ipv6PrefixLength: 64 } }
  const prefixes = ['ipv4', 'ipv6'].map(
    family => serviceOf({ ...marked, ipvs }, `fwmark/7/${family}`).persistence?.prefixLength,
  )
  assert.deepEqual(prefixes, [32, 64])
  assert.equal(serviceOf({ ...marked, ipvs }, 'fwmark/7/ipv4').backends[0]?.port, 0)
})

test('health scales weights, and nothing else (rule 6)', () => {
  const { tables } = tablesOf({ backends: [{ address: '10.0.0.1' }, { address: '10.0.0.2' }] })
  const half = effectiveTables(tables, (name, address) =>
    name === '203.0.113.10:80/tcp' && address === '10.0.0.2' ? 0.5 : 1,
  )
  const row = half.ipvs['service/203.0.113.10:80/tcp']
  assert.ok(row?.kind === 'service')
  assert.deepEqual(
    row.backends.map(({ weight }) => weight),
    [100, 50],
  )
  assert.deepEqual(half.ipvs['vip/203.0.113.10'], tables.ipvs['vip/203.0.113.10'])
})
