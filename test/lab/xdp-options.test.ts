import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { failuresOf, responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf, ROUTER } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { XdpServiceRow } from '../../schemas/node-state.ts'
import { backendsOf } from './client-programs.ts'
import { apply, DNS, makeRows, skip, upWithBackends, WEB } from './xdp-lab.ts'

const RANGE = 'service/203.0.113.10:443-9000/tcp'
const SERVERS = ['0a01', '0a02', '0a03']
const CONFIG_ID = 2
const OTHER_ADDRESS = '10.80.100.77'

/** RFC 9000, 17.3: a byte with the fixed bit; the connection id, whose first byte has the config id; the rest. */
const shortHeader = (server: string): string =>
  `40${(CONFIG_ID << 5).toString(16)}${server}c0ffee1122334455${'ee'.repeat(16)}`

test('what a service asks for beside backends is so for real clients: ranges of ports, access lists, affinity, QUIC ids, limits', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'options')
  const balancers = hostsOf(lab.topology, 'lb').map(({ name }) => name)
  const backends = backendsOf(lab, 1, 1, 1)
  const on = (host: string, ...command: [string, ...string[]]) => runCommand(...lab.on(host, command))
  const applyAll = async (web: Partial<XdpServiceRow>, dns: Partial<XdpServiceRow>) => {
    const sum: Record<string, number> = {}
    for (const name of balancers) {
      const rows = await makeRows(name, { [WEB]: { backends, ...web }, [DNS]: { backends, ...dns } })
      const range = { ...(rows[WEB] as XdpServiceRow), port: 443, endPort: 9000, hashBy: 'source' as const }
      const counted = await apply(lab, name, { ...rows, [RANGE]: range })
      for (const [reason, packets] of Object.entries(counted)) sum[reason] = (sum[reason] ?? 0) + packets
    }
    return sum
  }
  const ask = async (targets: string[], count: number, timeout = 5_000) => {
    const load = await startLoad(lab, { targets, interval: 5, timeout })
    await waitUntil({ what: `${count} ends`, deadline: 30_000 }, () => load.events.length >= count || null)
    await load.stop()
    return load.events
  }
  const askDns = async (datagrams: { source?: string; hex: string }[]) => {
    const order = JSON.stringify({ address: '203.0.113.53', port: 53, datagrams })
    const script = resolve(import.meta.dirname, 'ask-datagrams.ts')
    const { stdout } = await on('client', process.execPath, script, order)
    return z.array(z.string().nullable()).parse(JSON.parse(stdout))
  }
  // A client that has another address from now on.
  await on('client', 'ip', 'address', 'add', `${OTHER_ADDRESS}/32`, 'dev', 'eth0')
  await on(ROUTER, 'ip', 'route', 'add', OTHER_ADDRESS, 'dev', 'client')

  const ids = backends.map((backend, i) => ({ ...backend, serverId: SERVERS[i]! }))
  await applyAll({}, { backends: ids, quic: { configId: CONFIG_ID } })
  const ranged = await ask(['http://203.0.113.10:443/', 'http://203.0.113.10:8080/'], 60)
  assert.deepEqual(failuresOf(ranged), [])
  assert.equal(new Set(responsesOf(ranged).map(({ backend }) => backend)).size, 1, 'one source, one backend')
  const named = [2, 0, 1, 2, 0, 1, 1]
  const answers = await askDns(
    named.map((index, i) => ({
      hex: shortHeader(SERVERS[index]!),
      ...(i % 2 === 1 && { source: OTHER_ADDRESS }),
    })),
  )
  assert.deepEqual(
    answers,
    named.map(index => `backend-${index + 1}`),
  )

  const access = { otherwise: 'allow' as const, allow: [], deny: ['10.80.100.0/24'] }
  const flowLimit = { perSecond: 1, burst: 3, ipv4Bits: 24, ipv6Bits: 56 }
  await applyAll({ access }, { flowLimit })
  const refused = await ask(['http://203.0.113.10/', 'http://203.0.113.10:8080/'], 4, 300)
  assert.deepEqual(responsesOf(refused), [])
  const limited = await askDns(Array.from({ length: 30 }, () => ({ hex: '00' })))
  const served = limited.filter(answer => answer !== null).length
  // Each of the two load balancers lets in three at once and one a second.
  assert.ok(served >= 3 && served <= 15, `${served} of 30 flows`)
  const counted = await applyAll({}, {})
  for (const reason of ['forwarded_quic', 'drop_access', 'drop_flow_limit'])
    assert.ok((counted[reason] ?? 0) > 0, `${reason}: ${JSON.stringify(counted)}`)
  assert.deepEqual(failuresOf(await ask(['http://203.0.113.10/'], 30)), [])
})
