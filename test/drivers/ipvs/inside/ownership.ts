import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { suite, test } from 'node:test'
import type { IpvsForwarding, IpvsRow, Table } from '../../../../schemas/node-state.ts'
import { assertReached, converge } from '../../contract.ts'
import { backend, service, sysctl, tableOf, vip } from '../tables.ts'
import { OWNED_FILE, open, restore, run, withCleanKernel } from './lab.ts'

const reach = (table: Table<IpvsRow>) => converge<'ipvs'>(open(), table)
const sloppyTcp = async () => (await readFile('/proc/sys/net/ipv4/vs/sloppy_tcp', 'utf8')).trim()

suite('ownership', () => {
  withCleanKernel()

  test('everything that ipvsadm can say stands as written, and thresholds outlive an edit of a weight', async () => {
    const ways: IpvsForwarding[] = [
      { method: 'l2' },
      { method: 'nat' },
      { method: 'ipip' },
      { method: 'gue', port: 6080, checksum: 'remote' },
      { method: 'gre', checksum: 'full' },
    ]
    const table = (weight: number) =>
      tableOf(
        vip('203.0.113.1', 'vips'),
        vip('2001:db8:f::1'),
        service({
          backends: ways.map((forwarding, i) =>
            backend({ address: `10.0.0.${i + 1}`, forwarding, weight: weight + i, upper: 100, lower: i }),
          ),
        }),
        service({
          match: { by: 'address', vip: '2001:db8:f::1', port: 99, protocol: 'sctp' },
          scheduler: 'wlc',
          schedulerFlags: { port: false, fallback: false },
          persistence: { timeout: 60, prefixLength: 64, engine: '' },
          backends: [backend({ address: '10.0.0.1', port: 99 }), backend({ address: 'fd00::1', port: 99 })],
        }),
        service({
          match: { by: 'fwmark', mark: 4_000_000_000, family: 'ipv4' },
          scheduler: 'sh',
          schedulerFlags: { port: true, fallback: false },
          backends: [backend({ address: '10.0.0.1', port: 0, forwarding: { method: 'l2' } })],
        }),
        { kind: 'timeouts', tcp: 1000, tcpFin: 60, udp: 20 },
        sysctl('net.ipv4.vs.sync_threshold', '5 40'),
      )
    assertReached<'ipvs'>(table(1), await reach(table(1)), 'ipvs')
    assertReached<'ipvs'>(table(7), await reach(table(7)), 'ipvs')
    assert.match(await run('ipvsadm', '-L', '-n', '--thresholds'), /10\.0\.0\.5:80 +100 +4 /)
    assert.match(await run('ip', 'addr', 'show', 'dev', 'vips'), /203\.0\.113\.1\/32/)
  })

  test('the sync daemon runs as wanted, changes and stops', async () => {
    // The kernel runs none while backends are of another family than their VIP.
    await reach({})
    await run('ip', 'link', 'add', 'sync0', 'type', 'veth', 'peer', 'name', 'sync1')
    for (const name of ['sync0', 'sync1']) await run('ip', 'link', 'set', name, 'up')
    await run('ip', 'addr', 'add', '10.9.0.1/24', 'dev', 'sync0')
    const daemon = (id: number): IpvsRow => ({
      ...{ kind: 'sync', role: 'master', interface: 'sync0', id, group: '224.0.0.81' },
      ...{ port: 8848, ttl: 1, maxLength: 1472 },
    })
    for (const id of [1, 2])
      assertReached<'ipvs'>(tableOf(daemon(id)), await reach(tableOf(daemon(id))), 'ipvs')
    assert.deepEqual(await reach({}), {})
    assert.equal(await run('ipvsadm', '-L', '--daemon'), '')
  })

  test('what others have is not seen and stays, and what was set before comes back', async () => {
    await restore(
      '-A -t 198.51.100.1:80 -s rr -p 77',
      '-a -t 198.51.100.1:80 -r 10.0.0.9:80 -m -w 3 -x 9 -y 2',
      '-A -f 9 -s rr',
    )
    await run('ip', 'addr', 'add', '198.51.100.1/32', 'dev', 'lo')
    const look = async () =>
      (await Promise.all(['-S', '-L'].map(what => run('ipvsadm', what, '-n')))).join() +
      (await run('ip', 'addr', 'show', 'dev', 'lo'))
    const before = { text: await look(), sloppyTcp: await sloppyTcp() }
    const table = tableOf(
      vip('203.0.113.1'),
      service({ backends: [backend({ address: '10.0.0.1' })] }),
      sysctl('net.ipv4.vs.sloppy_tcp', before.sloppyTcp === '0' ? '1' : '0'),
    )
    assert.deepEqual(Object.keys(await reach(table)).sort(), Object.keys(table).sort())
    assert.notEqual(await sloppyTcp(), before.sloppyTcp)
    assert.deepEqual((await open().observe()).facts.foreignServices, 2)
    assert.deepEqual(await reach({}), {})
    assert.deepEqual({ text: await look(), sloppyTcp: await sloppyTcp() }, before)
    assert.equal(existsSync(OWNED_FILE), false)
  })

  test('what somebody does by hand to a VIP of ours is a difference, and is undone', async () => {
    const table = tableOf(
      vip('203.0.113.1'),
      service({ backends: [backend({ address: '10.0.0.1' }), backend({ address: '10.0.0.2' })] }),
    )
    await reach(table)
    await restore(
      '-A -u 203.0.113.1:53 -s rr',
      '-d -t 203.0.113.1:80 -r 10.0.0.1:80',
      '-E -t 203.0.113.1:80 -s wlc',
      '-D -t 198.51.100.1:80',
    )
    await run('ip', 'addr', 'del', '203.0.113.1/32', 'dev', 'lo')
    await run('ip', 'addr', 'add', '203.0.113.1/32', 'dev', 'vips')
    const { rows } = await open().observe()
    assert.deepEqual(Object.keys(rows).sort(), [
      'service/203.0.113.1:53/udp',
      'service/203.0.113.1:80/tcp',
      'vip/203.0.113.1',
    ])
    assert.deepEqual(rows['vip/203.0.113.1'], vip('203.0.113.1', 'vips'))
    assertReached<'ipvs'>(table, await reach(table), 'ipvs')
  })
})
