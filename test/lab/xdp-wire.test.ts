import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from '../../reconciler/lab/lab.ts'
import { failuresOf, responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf, ROUTER } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { RowBackend, XdpServiceRow } from '../../schemas/node-state.ts'
import { apply, DNS, makeRows, OBJECT, skip, TARGETS, upWithBackends, WEB, WEB6 } from './xdp-lab.ts'

/** What only shows on the wire: real stacks at both ends. */

const on = (lab: Lab, host: string, ...command: [string, ...string[]]) => runCommand(...lab.on(host, command))

const addressesOf = (lab: Lab, family: 'ipv4' | 'ipv6'): RowBackend[] =>
  hostsOf(lab.topology, 'backend').map(({ addresses }) => ({ address: addresses[family], weight: 1 }))

interface Asked {
  readonly fields?: Partial<XdpServiceRow>
  /** Of the IPv4 VIPs. */
  readonly backends?: RowBackend[]
}

async function applyAll(lab: Lab, { fields = {}, backends }: Asked): Promise<void> {
  for (const { name } of hostsOf(lab.topology, 'lb')) {
    const ipv4 = { backends: backends ?? addressesOf(lab, 'ipv4'), ...fields }
    const rows = await makeRows(name, {
      [WEB]: ipv4,
      [DNS]: ipv4,
      [WEB6]: { backends: addressesOf(lab, 'ipv6'), ...fields },
    })
    await apply(lab, name, rows)
  }
}

/** The VIPs through one load balancer alone. */
async function routeThrough(lab: Lab, via: string, device: string): Promise<void> {
  const route = ['ip', 'route', 'replace', lab.topology.vipPrefixes.ipv4] as const
  await on(lab, ROUTER, ...route, 'via', via, 'dev', device, 'onlink')
}

/** `count` requests to these targets, every one of them answered. */
async function ask(lab: Lab, targets: readonly string[], count: number): Promise<Set<string>> {
  const load = await startLoad(lab, { targets: [...targets], interval: 5, timeout: 5_000 })
  await waitUntil({ what: `${count} answers`, deadline: 30_000 }, () =>
    load.events.length >= count ? true : null,
  )
  await load.stop()
  assert.deepEqual(failuresOf(load.events), [])
  return new Set(responsesOf(load.events).map(({ backend }) => backend))
}

const FAMILIES = 200
const IDLE_SECONDS = 1

test('GUE of both variants, with and without a checksum over IPv6, carries TCP and UDP of both families', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'gue')
  const backends = addressesOf(lab, 'ipv6')
  for (const gue of [
    { variant: 1, port: 6080 },
    { variant: 0, port: 6080, checksum: 'computed' },
  ] as const) {
    await applyAll(lab, { fields: { encapsulation: 'gue', gue } })
    assert.equal((await ask(lab, TARGETS, FAMILIES)).size, 3)
    await applyAll(lab, { fields: { encapsulation: 'gue', gue }, backends })
    assert.equal((await ask(lab, TARGETS, FAMILIES)).size, 3)
  }
  const { stdout } = await on(
    lab,
    'backend-1',
    process.execPath,
    new URL('../../reconciler/cli.ts', import.meta.url).pathname,
    ...['decap', 'status', '--json', '--bpffs', lab.bpffsOf('backend-1')],
  )
  const [{ counters }] = JSON.parse(stdout)
  assert.ok(counters.gue.packets > 0 && counters.gue_0.packets > 0, stdout)
})

test('frames with a VLAN tag go through a load balancer and back in their VLAN', { skip }, async t => {
  const lab = await upWithBackends(t, 'vlan')
  await runCommand('make', ['-s', '-C', new URL('../../bpf', import.meta.url).pathname, 'bench'], {
    timeout: 60_000,
  })
  await applyAll(lab, {})
  const attach = async (device: string, program: string): Promise<void> => {
    const object = OBJECT.replace('lb.bpf.o', `${program}.bpf.o`)
    await on(lab, ROUTER, 'ip', 'link', 'set', 'dev', device, 'xdp', 'off')
    await on(lab, ROUTER, 'ip', 'link', 'set', 'dev', device, 'xdpdrv', 'object', object, 'section', 'xdp')
  }
  const balancers = hostsOf(lab.topology, 'lb')
  const targets = TARGETS.filter(target => !target.includes('['))
  // The router knows the link addresses of its neighbours from then on.
  await ask(lab, targets, 20)
  for (const device of ['client', ...balancers.map(({ name }) => name)]) await attach(device, 'tag')
  assert.equal((await ask(lab, targets, FAMILIES)).size, 3)

  // Nobody takes the tags off any more that come back.
  for (const { name } of balancers) await attach(name, 'pass')
  const load = await startLoad(lab, { targets, interval: 20, timeout: 300 })
  await waitUntil({ what: '10 requests', deadline: 10_000 }, () => (load.events.length >= 10 ? true : null))
  await load.stop()
  assert.deepEqual(responsesOf(load.events), [])
})

test('L2 direct server return: backends beside the node get packets as they are, and a lost one no new flows', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'l2')
  const [balancer] = hostsOf(lab.topology, 'lb')
  await routeThrough(lab, balancer!.addresses.ipv4, 'lb-1')
  const backends: RowBackend[] = []
  for (const [index, { name }] of hostsOf(lab.topology, 'backend').entries()) {
    const [here, there, id] = [`side${index}`, 'side', 90 + index]
    const peer = ['peer', 'name', there, 'netns', lab.namespace(name)] as const
    await on(lab, 'lb-1', 'ip', 'link', 'add', here, 'type', 'veth', ...peer)
    await on(lab, 'lb-1', 'ip', 'link', 'set', here, 'up')
    await on(lab, 'lb-1', 'ip', 'address', 'add', `10.${id}.0.1/24`, 'dev', here)
    await on(lab, name, 'ip', 'link', 'set', there, 'up')
    await on(lab, name, 'ip', 'address', 'add', `10.${id}.0.2/24`, 'dev', there)
    const pass = OBJECT.replace('lb.bpf.o', 'pass.bpf.o')
    await on(lab, name, 'ip', 'link', 'set', 'dev', there, 'xdpdrv', 'object', pass, 'section', 'xdp')
    backends.push({ address: `10.${id}.0.2`, weight: 1 })
  }
  const rows = async () => {
    const fields = { encapsulation: 'l2' as const, backends, idleTimeout: IDLE_SECONDS }
    return makeRows('lb-1', { [WEB]: fields, [DNS]: fields })
  }
  await apply(lab, 'lb-1', await rows())
  // Ports are used again: datagrams of a flow stay with its backend until it was idle.
  await on(lab, 'client', 'sh', '-c', 'echo 40000 41000 > /proc/sys/net/ipv4/ip_local_port_range')
  const targets = TARGETS.filter(target => !target.includes('['))
  assert.equal((await ask(lab, targets, FAMILIES)).size, 3)

  // It does not answer any more, and the kernel has found out.
  await on(lab, 'backend-1', 'ip', 'link', 'set', 'side', 'arp', 'off')
  await on(lab, 'lb-1', 'ip', 'neigh', 'replace', backends[0]!.address, 'dev', 'side0', 'nud', 'failed')
  const refreshed = { ...(await rows()) }
  refreshed[WEB] = { ...(refreshed[WEB] as XdpServiceRow), idleTimeout: 77 }
  await apply(lab, 'lb-1', refreshed)
  await delay(2_000 * IDLE_SECONDS)
  const found = await ask(lab, targets, FAMILIES)
  assert.deepEqual([...found].sort(), ['backend-2', 'backend-3'])
})
