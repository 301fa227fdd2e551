import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, suite, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { IpvsRow, Table } from '../../../../schemas/node-state.ts'
import { converge } from '../../contract.ts'
import { backend, service, sysctl, tableOf, vip } from '../tables.ts'
import { countMoved, openFlows } from './flows.ts'
import { open, restore, run, withCleanKernel } from './lab.ts'

const VIP = '203.0.113.1'
const FLOWS = 400
/** ms between rounds of packets: the kernel has one CPU. */
const PAUSE = 10
const EXPIRE = sysctl('net.ipv4.vs.expire_nodest_conn', '1')
const KEY = `service/${VIP}:80/udp`
const match = { by: 'address', vip: VIP, port: 80, protocol: 'udp' } as const

const tableWith = (numbers: readonly number[], ...rows: readonly IpvsRow[]): Table<IpvsRow> =>
  tableOf(
    vip(VIP),
    service({
      match,
      backends: numbers.map(n =>
        backend({ address: `10.0.0.${n}`, weight: n, forwarding: { method: 'l2' } }),
      ),
    }),
    ...rows,
  )

const reach = (table: Table<IpvsRow>) => converge<'ipvs'>(open(), table)

/** The backend of every flow on a kernel that had these backends added in this order. */
async function chosen(lines: readonly string[]): Promise<Map<number, string>> {
  await forget()
  await restore(`-A -u ${VIP}:80 -s mh -b mh-port,mh-fallback`, ...lines)
  return chosenNow()
}

/** No service, and no connection: one that lives would find its old backend when that is added again. */
async function forget(): Promise<void> {
  await run('ipvsadm', '-C')
  while ((await readFile('/proc/net/ip_vs_conn', 'utf8')).includes('UDP ')) await setTimeout(200)
}

async function chosenNow(): Promise<Map<number, string>> {
  const flows = await openFlows(VIP, 20_000, FLOWS)
  await flows.send()
  const backends = await flows.backends()
  flows.close()
  assert.equal(backends.size, FLOWS)
  return backends
}

const adding = (n: number) => `-a -u ${VIP}:80 -r 10.0.0.${n}:80 -g -w ${n}`
const ALL = [1, 2, 3, 4, 5, 6, 7, 8, 9]

suite('the order of backends', () => {
  withCleanKernel()
  before(async () => {
    await run('ip', 'addr', 'add', `${VIP}/32`, 'dev', 'lo')
    await run('ipvsadm', '--set', '0', '0', '1')
    await run('ip', 'route', 'add', '10.0.0.0/8', 'dev', 'vips')
  })

  test('it decides what mh chooses, and a node that had them one by one ends as one that had them at once', async t => {
    const inOrder = await chosen(ALL.map(adding))
    const reversed = await chosen(ALL.toReversed().map(adding))
    t.diagnostic(`reversed: ${countMoved(inOrder, reversed)} of ${FLOWS} flows have another backend`)
    assert.notEqual(countMoved(inOrder, reversed), 0)

    await forget()
    await reach(tableWith([3, 5, 6, 8]))
    await reach(tableWith([1, 3, 5, 6, 8, 9]))
    const rows = await reach(tableWith(ALL))
    assert.deepEqual(rows, tableWith(ALL))
    assert.equal(countMoved(inOrder, await chosenNow()), 0)
  })

  test('changed by hand, it is a difference; put right, every flow keeps its backend', async t => {
    await forget()
    await run('ipvsadm', '--set', '0', '0', '300')
    const table = tableWith(ALL, EXPIRE)
    await reach(table)
    const before = await chosenNow()
    const flows = await openFlows(VIP, 20_000, FLOWS)
    const lost = await sendWhile(flows.send, async () => {
      // Taken out and put in within one batch, as an administrator may.
      await restoreOut(6)
      const { rows } = await open().observe()
      assert.notDeepEqual(rows, table)
      assert.deepEqual(await reach(table), table)
    })
    const after = await flows.backends()
    flows.close()
    const counted = (await open().connections([KEY, 'service/192.0.2.254:9/tcp'])).get(KEY)!
    assert.equal(
      [...counted.values()].reduce((sum, count) => sum + count),
      FLOWS,
    )
    assert.ok(counted.get('10.0.0.9 80')! > counted.get('10.0.0.1 80')!)
    t.diagnostic(`${lost} rounds of packets while the order was put right`)
    assert.equal(countMoved(before, after), 0)
  })
})

async function restoreOut(n: number): Promise<void> {
  await run('sysctl', '-qw', 'net.ipv4.vs.expire_nodest_conn=0')
  await restore(`-d -u ${VIP}:80 -r 10.0.0.${n}:80`, adding(n))
  await run('sysctl', '-qw', 'net.ipv4.vs.expire_nodest_conn=1')
}

/** Gives how often all were sent. */
async function sendWhile(send: () => Promise<void>, work: () => Promise<void>): Promise<number> {
  let working = true
  const done = work().finally(() => {
    working = false
  })
  let rounds = 0
  while (working) {
    await send()
    rounds++
    await setTimeout(PAUSE)
  }
  await done
  return rounds
}
