import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { type Host, hostsOf, ROUTER } from '../../reconciler/lab/topology.ts'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { apply, makeRows, skip, WEB, WEB6 } from './xdp-lab.ts'

/** Path MTU discovery and echo requests, with real stacks at both ends. */

/** Of the network between load balancers and backends, as the Node says it. */
const NODE_MTU = 1400
/** Of the way from the backends to the client. */
const WAY_BACK_MTU = 1300
const BYTES = 300_000

const FAMILIES = {
  ipv4: { vip: '203.0.113.10', url: 'http://203.0.113.10/', icmp: 'icmp', outer: 20, flag: '-4' },
  ipv6: { vip: '2001:db8::10', url: 'http://[2001:db8::10]/', icmp: 'ipv6-icmp', outer: 40, flag: '-6' },
} as const
type Family = keyof typeof FAMILIES

const on = (lab: Lab, host: string, ...command: [string, ...string[]]) => runCommand(...lab.on(host, command))

/** Gives a body of the size that its path names for GET, and says how large one was for POST; both with its name. */
const SERVER = `
const [name, ...addresses] = process.argv.slice(1)
let ready = 0
for (const address of addresses)
  require('node:http').createServer((request, response) => {
    response.setHeader('backend', name)
    if (request.method === 'GET') return response.end(Buffer.alloc(Number(request.url.slice(1)), 120))
    let bytes = 0
    request.on('data', chunk => { bytes += chunk.length })
    request.on('end', () => response.end(String(bytes)))
  }).listen(80, address, () => ++ready === addresses.length && console.log('ready'))`

async function serveBodies(lab: Lab): Promise<void> {
  const vips = Object.values(FAMILIES).map(({ vip }) => vip)
  for (const { name } of hostsOf(lab.topology, 'backend')) {
    const command = lab.on(name, [process.execPath, '-e', SERVER, name, ...vips])
    const server = await startProgram(...command, { stdout: 'pipe' })
    await new Promise(ready => server.stdout!.once('data', ready))
  }
}

const DOWNLOAD = `
const [url, bytes] = process.argv.slice(1)
const response = await fetch(url + bytes, {signal: AbortSignal.timeout(15000)})
const {byteLength} = await response.arrayBuffer()
console.log(JSON.stringify({bytes: byteLength, backend: response.headers.get('backend')}))`

const UPLOAD = `
const [url, bytes] = process.argv.slice(1)
const body = Buffer.alloc(Number(bytes), 120)
const response = await fetch(url, {method: 'POST', body, signal: AbortSignal.timeout(15000)})
console.log(JSON.stringify({bytes: Number(await response.text()), backend: response.headers.get('backend')}))`

const Transferred = z.object({ bytes: z.number(), backend: z.string() })

/** Over one connection; gives who was at the other end, and how many bytes the receiver got. */
async function transfer(lab: Lab, script: string, url: string): Promise<z.infer<typeof Transferred>> {
  const command = [process.execPath, '--input-type=module', '-e', script, url, String(BYTES)] as const
  const { stdout } = await runCommand(...lab.on('client', command), { timeout: 40_000 })
  return Transferred.parse(JSON.parse(stdout))
}

const Routes = z.array(z.object({ metrics: z.array(z.object({ mtu: z.number().optional() })).optional() }))

/** What a host has learned of the way to an address; undefined: nothing. */
async function pathMtu(
  lab: Lab,
  host: string,
  family: Family,
  ...way: string[]
): Promise<number | undefined> {
  const { stdout } = await on(lab, host, 'ip', FAMILIES[family].flag, '-json', 'route', 'get', ...way)
  const [route] = Routes.parse(JSON.parse(stdout))
  return route?.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu
}

/** What a load balancer counted, each time since the time before. */
function countOn(lab: Lab, { name }: Host) {
  let last: Record<string, number> = {}
  const backendsOf = (family: Family) =>
    hostsOf(lab.topology, 'backend').map(({ addresses }) => ({ address: addresses[family], weight: 1 }))
  return async (reason: string): Promise<number> => {
    const rows = await makeRows(name, {
      [WEB]: { backends: backendsOf('ipv4') },
      [WEB6]: { backends: backendsOf('ipv6') },
    })
    Object.assign(rows.settings!, { mtu: NODE_MTU })
    const before = last
    last = await apply(lab, name, rows)
    return (last[reason] ?? 0) - (before[reason] ?? 0)
  }
}

/** As ECMP does it: flows through the first load balancer, and ICMP to the same VIP, which has no ports, through the second. */
async function routeApart(lab: Lab, family: Family): Promise<void> {
  const [first, second] = hostsOf(lab.topology, 'lb')
  const { flag, icmp } = FAMILIES[family]
  const prefix = lab.topology.vipPrefixes[family]
  const via = ({ name, addresses }: Host) => ['via', addresses[family], 'dev', name]
  await on(lab, ROUTER, 'ip', flag, 'route', 'flush', prefix)
  await on(lab, ROUTER, 'ip', flag, 'route', 'add', prefix, ...via(first!))
  await on(lab, ROUTER, 'ip', flag, 'route', 'add', prefix, ...via(second!), 'table', '200')
  await on(lab, ROUTER, 'ip', flag, 'rule', 'add', 'to', prefix, 'ipproto', icmp, 'lookup', '200')
}

for (const [name, { vip, url, outer }] of Object.entries(FAMILIES)) {
  const family = name as Family
  test(`path MTU discovery through an ${family} VIP works in both directions, also when errors reach another load balancer`, {
    skip,
  }, async t => {
    const lab = await upWithoutServers(t, family)
    await serveBodies(lab)
    await routeApart(lab, family)
    const [ofFlows, ofErrors] = hostsOf(lab.topology, 'lb').map(host => countOn(lab, host))
    for (const count of [ofFlows!, ofErrors!]) await count('answered_too_big')

    const up = await transfer(lab, UPLOAD, url)
    assert.equal(up.bytes, BYTES)
    assert.ok((await ofFlows!('answered_too_big')) > 0)
    assert.equal(await pathMtu(lab, 'client', family, vip), NODE_MTU - outer)
    assert.equal((await transfer(lab, UPLOAD, url)).bytes, BYTES)
    assert.equal(await ofFlows!('answered_too_big'), 0, 'the client keeps to what it was told')

    // Of the client's own end the MTU stays, and with it the MSS that it asks for.
    await on(lab, ROUTER, 'ip', 'link', 'set', 'client', 'mtu', String(WAY_BACK_MTU))
    const down = await transfer(lab, DOWNLOAD, url)
    assert.equal(down.bytes, BYTES)
    assert.equal(await ofFlows!('forwarded_icmp'), 0)
    assert.ok((await ofErrors!('forwarded_icmp')) > 0)
    const client = hostsOf(lab.topology, 'client')[0]!.addresses[family]
    for (const { name: backend } of hostsOf(lab.topology, 'backend')) {
      const learned = await pathMtu(lab, backend, family, client, 'from', vip)
      assert.equal(learned, backend === down.backend ? WAY_BACK_MTU : undefined, backend)
    }
  })
}

test('echo requests to VIPs of both families are answered by the load balancers', { skip }, async t => {
  const lab = await upWithoutServers(t, 'echo')
  const counts = hostsOf(lab.topology, 'lb').map(host => countOn(lab, host))
  const countAnswered = async () => (await counts[0]!('answered_echo')) + (await counts[1]!('answered_echo'))
  await countAnswered()
  await on(lab, 'client', 'sh', '-c', 'echo 0 0 > /proc/sys/net/ipv4/ping_group_range')
  const script = resolve(import.meta.dirname, 'echo-requests.ts')
  for (const { vip } of Object.values(FAMILIES)) {
    const { stdout } = await on(lab, 'client', process.execPath, script, vip, '20')
    assert.deepEqual([Number(stdout), await countAnswered()], [20, 20], vip)
  }
})

async function upWithoutServers(t: { after(work: () => unknown): void }, part: string): Promise<Lab> {
  const name = `icmp-${process.pid}-${part}`
  t.after(() => labDown(name))
  return await labUp(name, process.pid)
}
