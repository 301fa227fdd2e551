import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { emptyTables, type IpvsForwarding, type NodeTables } from '../../../../schemas/node-state.ts'
import { backend, service, sysctl, tableOf, vip } from '../tables.ts'
import { run, withCleanKernel } from './lab.ts'
import {
  addressOf,
  answerVia,
  BACKENDS,
  makeNetwork,
  openTo,
  removeNetwork,
  requests,
  routeVia,
  startServers,
  VIP,
} from './network.ts'
import { startWorker } from './worker.ts'

const SYSCTLS = [sysctl('net.ipv4.vs.sloppy_tcp', '1'), sysctl('net.ipv4.vs.expire_nodest_conn', '1')]
const REQUESTS = 30

const wantedWith = (
  forwarding: IpvsForwarding,
  names: readonly (typeof BACKENDS)[number][] = BACKENDS,
): NodeTables => ({
  ...emptyTables(),
  ipvs: tableOf(
    vip(VIP),
    service({
      match: { by: 'address', vip: VIP, port: 80, protocol: 'tcp' },
      backends: names.map(name => backend({ address: addressOf(name), forwarding })),
    }),
    ...SYSCTLS,
  ),
})

suite('TCP through IPVS', () => {
  withCleanKernel()
  let servers: ReturnType<typeof startServers>
  before(async () => {
    await makeNetwork()
    servers = startServers()
  })
  after(async () => {
    for (const server of servers) server.close()
    await removeNetwork()
  })

  for (const forwarding of [
    { method: 'nat' },
    { method: 'l2' },
    { method: 'ipip' },
    { method: 'gue', port: 6080, checksum: 'none' },
  ] as const satisfies readonly IpvsForwarding[])
    test(`by ${forwarding.method}, connections reach all backends, and each stays on its own`, async () => {
      const worker = await startWorker({ withXdp: false })
      await answerVia(forwarding.method === 'nat' ? 'balancer' : 'client')
      assert.deepEqual(await worker.look(wantedWith(forwarding)), [])
      assert.deepEqual([...(await requests(REQUESTS))].sort(), [...BACKENDS])
      const held = await openTo('be-2')
      for (let line = 0; line < 5; line += 1) assert.equal(await held.ask(), 'be-2')
      held.socket.resetAndDestroy()
      await worker.look(emptyTables())
      worker.pass(60)
      assert.deepEqual(await worker.look(emptyTables()), [])
      await answerVia('client')
    })

  test('a backend that leaves keeps its connection and gets no other, and goes once that has ended', async t => {
    const worker = await startWorker({ withXdp: false })
    await worker.look(wantedWith({ method: 'l2' }))
    const held = await openTo('be-1')
    const wanted = wantedWith({ method: 'l2' }, ['be-2', 'be-3'])
    const [pending = ''] = await worker.look(wanted)
    assert.match(
      pending,
      /^service\/203\.0\.113\.1:80\/tcp 10\.9\.0\.1 80 has \d+ connections? left, and goes at /,
    )
    assert.deepEqual([...(await requests(REQUESTS))].sort(), ['be-2', 'be-3'])
    assert.equal(await held.ask(), 'be-1')
    t.diagnostic(pending)
    held.socket.resetAndDestroy()
    while ((await worker.look(wanted)).length > 0) await setTimeout(200)
    assert.equal((await run('ipvsadm', '-L', '-n')).includes(addressOf('be-1')), false)
  })

  test('what has not ended when its time is up goes all the same', async () => {
    const worker = await startWorker({ withXdp: false })
    await worker.look(wantedWith({ method: 'l2' }))
    const held = await openTo('be-1')
    const wanted = wantedWith({ method: 'l2' }, ['be-2', 'be-3'])
    assert.equal((await worker.look(wanted)).length, 1)
    worker.pass(59)
    assert.equal((await worker.look(wanted)).length, 1)
    assert.equal(await held.ask(), 'be-1')
    worker.pass(1)
    assert.deepEqual(await worker.look(wanted), [])
    assert.equal((await run('ipvsadm', '-L', '-n')).includes(addressOf('be-1')), false)
    await assert.rejects(held.ask())
    held.socket.destroy()
  })

  test('a connection goes on by another load balancer with the same backends, if that takes it up in the middle', async () => {
    const worker = await startWorker({ withXdp: false })
    await worker.look(wantedWith({ method: 'l2' }))
    const inSecond = (...command: string[]) => run('ip', 'netns', 'exec', 'lb-2', ...command)
    await inSecond('ip', 'addr', 'add', `${VIP}/32`, 'dev', 'lo')
    await inSecond('ipvsadm', '-A', '-t', `${VIP}:80`, '-s', 'mh', '-b', 'mh-port,mh-fallback')
    for (const name of BACKENDS)
      await inSecond('ipvsadm', '-a', '-t', `${VIP}:80`, '-r', `${addressOf(name)}:80`, '-g')

    const all = []
    for (const name of BACKENDS) all.push(await openTo(name))
    await inSecond('sysctl', '-qw', 'net.ipv4.vs.sloppy_tcp=1')
    await routeVia('second')
    for (const [number, name] of BACKENDS.entries()) assert.equal(await all[number]!.ask(), name)
    for (const { socket } of all) socket.resetAndDestroy()
    await routeVia('first')

    const cut = await openTo('be-3')
    await inSecond('sysctl', '-qw', 'net.ipv4.vs.sloppy_tcp=0')
    await routeVia('second')
    await assert.rejects(cut.ask(), 'without sloppy_tcp it goes on too')
    cut.socket.destroy()
    await routeVia('first')
  })
})
