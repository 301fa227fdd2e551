import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { chooseNextHops, type NextHop } from '../../../reconciler/drivers/xdp/next-hops/choose-next-hops.ts'
import { isNewNeighbour } from '../../../reconciler/drivers/xdp/next-hops/is-new-neighbour.ts'
import {
  type Neighbour,
  parseDirectRoutes,
  parseLinks,
  parseNeighbours,
} from '../../../reconciler/drivers/xdp/next-hops/parse-neighbours.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { watchNetwork } from '../../../reconciler/process/watch-network.ts'
import { assertApplied, editsTo, never } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const OWN = '02:00:00:00:00:01'
const A = '02:00:00:00:00:0a'
const B = '02:00:00:00:00:0b'

test('what ip(8) says of neighbours, links and routes is understood', () => {
  const neighbours = parseNeighbours(
    `[{"dst":"10.1.1.7","dev":"va","state":["INCOMPLETE"]},{"dst":"10.1.1.9","dev":"va","managed":null,"lladdr":"${A}","state":["REACHABLE"]},{"dst":"fd00:5::9","dev":"va","lladdr":"${B}","router":null,"state":["STALE"]},{"dst":"10.1.1.10","dev":"va","state":["FAILED"]}]`,
  )
  assert.deepEqual(neighbours, [
    { address: '10.1.1.7', device: 'va', linkAddress: null, state: 'asking' },
    { address: '10.1.1.9', device: 'va', linkAddress: A, state: 'fresh' },
    { address: 'fd00:5::9', device: 'va', linkAddress: B, state: 'stale' },
    { address: '10.1.1.10', device: 'va', linkAddress: null, state: 'failed' },
  ])
  assert.deepEqual(parseNeighbours(''), [])
  const links = parseLinks(
    `[{"ifindex":1,"ifname":"lo","address":"00:00:00:00:00:00"},{"ifindex":2,"link":"vb","ifname":"va","address":"${OWN}","linkinfo":{"info_kind":"veth"}},{"ifindex":7,"link":"va","ifname":"va.100","address":"${OWN}","linkinfo":{"info_kind":"vlan"}},{"ifindex":8,"ifname":"tun0"}]`,
  )
  assert.deepEqual(links.get('va'), { ifindex: 2, linkAddress: OWN })
  assert.deepEqual(links.get('va.100'), { ifindex: 2, linkAddress: OWN })
  assert.equal(links.has('tun0'), false)
  const routes = parseDirectRoutes(
    '[{"dst":"10.1.1.7","dev":"va","prefsrc":"10.1.1.1","flags":[],"uid":0,"cache":[]}]\n[{"dst":"192.0.2.1","gateway":"10.1.1.254","dev":"va"}]\n',
  )
  assert.deepEqual([...routes], [['10.1.1.7', 'va']])
})

test('what the packet path has stays until the kernel has asked in vain; who is not fresh is asked for', () => {
  const links = new Map([['va', { ifindex: 2, linkAddress: OWN }]])
  const old: NextHop = { to: A, from: OWN, ifindex: 2 }
  const seen = (address: string, state: Neighbour['state'], linkAddress: string | null): Neighbour => ({
    address,
    device: 'va',
    linkAddress,
    state,
  })
  const { known, ask } = chooseNextHops(
    ['fresh', 'moved', 'stale', 'asking', 'absent', 'failed', 'new'],
    [
      seen('fresh', 'fresh', A),
      seen('moved', 'fresh', B),
      seen('stale', 'stale', A),
      seen('asking', 'asking', null),
      seen('failed', 'failed', A),
    ],
    {
      links,
      present: new Map(['fresh', 'moved', 'stale', 'asking', 'absent', 'failed'].map(each => [each, old])),
    },
  )
  assert.deepEqual([...known.keys()], ['fresh', 'moved', 'stale', 'asking', 'absent'])
  assert.deepEqual(known.get('moved'), { ...old, to: B })
  assert.deepEqual(ask, [
    { address: 'stale', device: 'va' },
    { address: 'asking', device: 'va' },
    { address: 'absent', device: null },
    { address: 'failed', device: 'va' },
    { address: 'new', device: null },
  ])
})

suite('next hops of the XDP driver', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const [device] = lab.interfaces
  const ip = (...args: string[]) => runCommand('ip', args)
  const neighbour = (address: string, ...args: string[]) =>
    ip('neigh', 'replace', address, 'dev', device, ...args)

  test('follow the neighbour table, ask the kernel, and are said in the facts', async () => {
    await ip('address', 'add', '10.7.0.1/24', 'dev', device)
    await neighbour('10.7.0.11', 'lladdr', A, 'nud', 'permanent')
    const driver = lab.open()
    const row = serviceRow({ encapsulation: 'l2', backends: backendsOf('10.7.0.11', '10.7.0.12') })
    const wanted = tableOf(settingsRow(), row)
    assertApplied(await driver.apply(editsTo(wanted, {}), never))
    const seen = await driver.observe()
    assert.deepEqual(seen.rows, wanted)
    assert.deepEqual(seen.facts.nextHops, { resolved: 1, unresolved: ['10.7.0.12'] })
    const { stdout } = await ip('neigh', 'show', '10.7.0.12')
    assert.match(stdout, /INCOMPLETE|FAILED/, 'the kernel was made to ask')

    await neighbour('10.7.0.12', 'lladdr', B, 'nud', 'reachable')
    await driver.refreshNextHops()
    const facts = async () => (await driver.observe()).facts.nextHops
    assert.deepEqual(await facts(), { resolved: 2, unresolved: [] })

    await neighbour('10.7.0.11', 'nud', 'failed')
    await driver.refreshNextHops()
    assert.deepEqual(await facts(), { resolved: 1, unresolved: ['10.7.0.11'] })

    assertApplied(await driver.apply(editsTo(tableOf(settingsRow()), wanted), never))
    await driver.refreshNextHops()
    assert.equal(await facts(), undefined)
  })

  test('what the kernel tells of a neighbour is understood as it comes', async () => {
    const ending = new AbortController()
    const known = new Map([['10.7.0.13', A]])
    const retold = setInterval(() => void neighbour('10.7.0.13', 'lladdr', B, 'nud', 'permanent'), 100)
    let news = 0
    for await (const line of watchNetwork(['neigh'], ending.signal)) {
      if (!isNewNeighbour(line, known)) continue
      news++
      ending.abort()
    }
    clearInterval(retold)
    assert.equal(news, 1)
  })

  test('a backend behind a router is not one of the same network', async () => {
    await ip('route', 'add', '192.0.2.0/24', 'via', '10.7.0.254')
    const driver = lab.open()
    const row = serviceRow({ encapsulation: 'l2', backends: backendsOf('192.0.2.1') })
    const before = await driver.observe()
    assertApplied(await driver.apply(editsTo(tableOf(settingsRow(), row), before.rows), never))
    assert.deepEqual((await driver.observe()).facts.nextHops, { resolved: 0, unresolved: ['192.0.2.1'] })
  })
})
