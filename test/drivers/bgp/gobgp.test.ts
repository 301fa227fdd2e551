import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createGobgpDriver } from '../../../reconciler/drivers/bgp/gobgp/driver.ts'
import { switchGobgpAnnouncements } from '../../../reconciler/drivers/bgp/gobgp/switch.ts'
import type { Driver } from '../../../reconciler/drivers/driver.ts'
import type { BgpRow, Table } from '../../../schemas/node-state.ts'
import { temporaryFolder } from '../../repo/make-repository.ts'
import { assertReached, converge, editsTo, never } from '../contract.ts'
import {
  addGobgp,
  type GobgpNode,
  NODE_ASN,
  openRouterLab,
  PEERING_BY_FAMILY,
  peerRow,
  ROUTER,
  type RouterLab,
  routeRow,
  settled,
  speakerRow,
  tableOf,
  until,
} from './router-lab.ts'

const reach = (driver: Driver<BgpRow>, table: Table<BgpRow>) => converge<'bgp'>(driver, table)
const reached = (table: Table<BgpRow>, rows: Table<BgpRow>) => assertReached<'bgp'>(table, rows, 'bgp')
const rowsOf = async (driver: Driver<BgpRow>) => (await driver.observe()).rows

const SPEAKER = speakerRow({ daemon: 'gobgp' })
const TOR = peerRow({ families: ['ipv4'] })
const TOR6 = peerRow({ name: 'tor-1-v6', address: ROUTER.ipv6, families: ['ipv6'] })

describe('GoBGP, with sessions to a router', () => {
  let lab: RouterLab
  let gobgp: GobgpNode
  let driver: Driver<BgpRow>
  const learnt = async () => (await lab.learnt()).map(({ prefix }) => prefix).sort()
  const untilLearnt = (...prefixes: string[]) =>
    until(`the router to learn ${prefixes}`, async () => (await learnt()).join() === prefixes.join())
  const ALL = ['2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32']

  before(async () => {
    lab = await openRouterLab(PEERING_BY_FAMILY)
    gobgp = await addGobgp(lab)
    driver = settled(createGobgpDriver(gobgp))
  })
  after(async () => {
    await driver.close()
    await lab[Symbol.asyncDispose]()
  })

  test('a route is in the router with all of its attributes, and read back from what was sent', async () => {
    const table = tableOf(
      SPEAKER,
      TOR,
      TOR6,
      routeRow({
        communities: ['65001:100', '65535:0'],
        largeCommunities: ['65001:1:2'],
        med: 50,
        localPreference: 200,
        prepend: 2,
      }),
      routeRow({ prefix: '2001:db8::10/128', peers: ['tor-1-v6'] }),
      routeRow({ prefix: '203.0.113.0/28' }),
    )
    assert.deepEqual(await rowsOf(driver), {})
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
    const route = (await lab.learnt()).find(({ prefix }) => prefix === '203.0.113.10/32')!
    assert.equal(route.attributes['BGP.as_path'], '65001 65001 65001')
    assert.equal(route.attributes['BGP.med'], '50')
    assert.equal(route.attributes['BGP.community'], '(65001,100) (65535,0)')
    // The marks that say to whom it goes stay here.
    assert.equal(route.attributes['BGP.large_community'], '(65001, 1, 2)')
    assert.deepEqual(await rowsOf(driver), table)
  })

  test('attributes that change, and a route that goes to no peer, are told without a new session', async () => {
    const since = await sessionsOf(driver)
    const table = await rowsOf(driver)
    const changed = { ...table, 'route/203.0.113.10/32': routeRow({ med: 7 }) }
    reached(changed, await reach(driver, changed))
    await until('the router to see it', async () =>
      (await lab.learnt()).some(({ attributes }) => attributes['BGP.med'] === '7'),
    )
    const toNobody = { ...changed, 'route/203.0.113.10/32': routeRow({ peers: [] }) }
    reached(toNobody, await reach(driver, toNobody))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28')
    reached(changed, await reach(driver, changed))
    await untilLearnt(...ALL)
    assert.deepEqual(await sessionsOf(driver), since)
  })

  test('nothing but what is Ballast’s goes out, whatever is added by hand', async () => {
    const table = await rowsOf(driver)
    await gobgp.ask('global', 'rib', 'add', '198.51.100.0/24', '-a', 'ipv4')
    await gobgp.ask('global', 'rib', 'add', '203.0.113.99/32', '-a', 'ipv4', 'community', '65535:65281')
    assert.deepEqual(await rowsOf(driver), table)
    const more = { ...table, 'route/203.0.113.20/32': routeRow({ prefix: '203.0.113.20/32' }) }
    reached(more, await reach(driver, more))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32', '203.0.113.20/32')
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
  })

  test('what is withdrawn by hand is seen, and put back', async () => {
    const table = await rowsOf(driver)
    const fingerprint = await driver.fingerprint()
    await gobgp.ask('global', 'rib', 'del', '203.0.113.10/32', '-a', 'ipv4')
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28')
    assert.notEqual(await driver.fingerprint(), fingerprint)
    assert.equal((await rowsOf(driver))['route/203.0.113.10/32'], undefined)
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
  })

  test('a policy that lets out more is seen, and what went out by it is withdrawn', async () => {
    const table = await rowsOf(driver)
    await gobgp.ask('global', 'policy', 'export', 'set', 'default', 'accept')
    await gobgp.ask('global', 'rib', 'add', '198.51.100.128/25', '-a', 'ipv4')
    await untilLearnt('198.51.100.128/25', ...ALL)
    assert.equal((await rowsOf(driver)).speaker, undefined)
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
  })

  test('a session that was disabled or removed by hand is seen, and put back', async () => {
    const table = await rowsOf(driver)
    for (const act of [['disable'], ['del']]) {
      const words = act[0] === 'del' ? ['neighbor', 'del', ROUTER.ipv4] : ['neighbor', ROUTER.ipv4, 'disable']
      await gobgp.ask(...words)
      await until('it to be gone', async () => (await rowsOf(driver))['peer/tor-1'] === undefined)
      reached(table, await reach(driver, table))
      await untilLearnt(...ALL)
    }
  })

  test('a peer gets no more prefixes than it takes', async () => {
    const table = await rowsOf(driver)
    const fewer = { ...table, 'peer/tor-1': { ...TOR, exportLimit: 1 } }
    const rows = await reach(driver, fewer)
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28')
    assert.deepEqual(rows['route/203.0.113.10/32'], { ...table['route/203.0.113.10/32'], peers: [] })
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
  })

  test('the watchdog takes all routes away and gives them back, and the sessions stay', async () => {
    const table = await rowsOf(driver)
    const since = await sessionsOf(driver)
    await switchGobgpAnnouncements(gobgp, false)
    await untilLearnt()
    const rows = await rowsOf(driver)
    assert.deepEqual(rows['route/203.0.113.0/28'], routeRow({ prefix: '203.0.113.0/28', peers: [] }))
    await switchGobgpAnnouncements(gobgp, true)
    await untilLearnt(...ALL)
    assert.deepEqual(await rowsOf(driver), table)
    assert.deepEqual(await sessionsOf(driver), since)
  })

  test('news comes by itself', async () => {
    const abort = new AbortController()
    const reasons: string[] = []
    const watching = (async () => {
      for await (const { reason } of driver.watch!(abort.signal)) reasons.push(reason)
    })()
    await until('the watch', async () => reasons.includes('connected to GoBGP'))
    await gobgp.ask('global', 'rib', 'add', '198.51.100.7/32', '-a', 'ipv4')
    await until('news of a route', async () => reasons.includes('a route changed in GoBGP'))
    await gobgp.ask('neighbor', ROUTER.ipv4, 'reset')
    await until('news of a session', async () => reasons.includes(`the session with ${ROUTER.ipv4} changed`))
    abort.abort()
    await watching
  })

  test('a GoBGP that hangs is no empty one', async () => {
    gobgp.signal('SIGSTOP')
    try {
      await assert.rejects(driver.observe(), { code: 'BGP_DAEMON_HUNG' })
    } finally {
      gobgp.signal('SIGCONT')
    }
  })

  test('a GoBGP that was killed has nothing, and announces all again as soon as it is back', async () => {
    const table = await rowsOf(driver)
    const abort = new AbortController()
    const reasons: string[] = []
    const watching = (async () => {
      for await (const { reason } of driver.watch!(abort.signal)) reasons.push(reason)
    })()
    await until('the watch', async () => reasons.includes('connected to GoBGP'))
    gobgp.signal('SIGKILL')
    await until('news of it', async () => reasons.includes('GoBGP went away'))
    const down = await until('it to be down', async () => {
      const seen = await driver.observe().catch(() => null)
      return seen?.facts.running === false && seen
    })
    assert.deepEqual(down.rows, {})
    const raw = createGobgpDriver(gobgp)
    const [outcome] = await raw.apply(editsTo<'bgp'>(table, {}, 'bgp'), never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'BGP_DAEMON_UNREACHABLE')
    // Nothing is announced: a withdrawal is done.
    const withdrawals = await raw.apply(editsTo<'bgp'>({}, table, 'bgp'), never)
    assert.deepEqual([...new Set(withdrawals.map(({ result }) => result))], ['applied'])
    await raw.close()
    await untilLearnt()

    reasons.length = 0
    await gobgp.start()
    await until('news of it', async () => reasons.includes('connected to GoBGP'))
    assert.deepEqual(await rowsOf(driver), {})
    reached(table, await reach(driver, table))
    await untilLearnt(...ALL)
    abort.abort()
    await watching
  })

  test('an empty table leaves nothing of it in GoBGP', async () => {
    assert.deepEqual(await reach(driver, {}), {})
    await untilLearnt()
    assert.match(await gobgp.ask('neighbor'), /^Peer\s+AS\s.*\n?$/)
  })
})

test('passwords come from a file, and a new one is told', async () => {
  await using lab = await openRouterLab(PEERING_BY_FAMILY.replace('as 65001;', 'as 65001; password "one";'))
  const gobgp = await addGobgp(lab)
  const driver = createGobgpDriver(gobgp)
  const table = tableOf(
    SPEAKER,
    peerRow({ families: ['ipv4'], ttl: 3, gracefulRestart: 60, password: { file: 'tor', stale: false } }),
    routeRow(),
  )
  const [missing] = await driver.apply(editsTo<'bgp'>(table, {}, 'bgp'), never)
  assert.equal(missing?.result === 'failed' && missing.code, 'BGP_SECRET_UNREADABLE')
  writeFileSync(join(gobgp.secretsDir, 'tor'), 'one\n')
  reached(table, await reach(driver, table))
  await until('the session', async () => (await lab.learnt()).length === 1)

  const fingerprint = await driver.fingerprint()
  writeFileSync(join(gobgp.secretsDir, 'tor'), 'two\n')
  assert.notEqual(await driver.fingerprint(), fingerprint)
  const stale = { ...(table['peer/tor-1'] as typeof TOR), password: { file: 'tor', stale: true } }
  assert.deepEqual((await rowsOf(driver))['peer/tor-1'], stale)
  reached(table, await reach(driver, table))
  await driver.close()
})

test('a peer of the own AS gets the local preference and the MED, and no AS in the path', async () => {
  await using lab = await openRouterLab(PEERING_BY_FAMILY.replace('local as 65000', 'direct; local as 65001'))
  const driver = settled(createGobgpDriver(await addGobgp(lab)))
  const table = tableOf(
    SPEAKER,
    { ...TOR, asn: NODE_ASN },
    routeRow({ localPreference: 200, med: 5, prepend: 1 }),
    routeRow({ prefix: '203.0.113.11/32' }),
  )
  reached(table, await reach(driver, table))
  await until('the routes', async () => (await lab.learnt()).length === 2)
  const learnt = new Map((await lab.learnt()).map(({ prefix, attributes }) => [prefix, attributes]))
  const route = learnt.get('203.0.113.10/32')!
  assert.equal(route['BGP.local_pref'], '200')
  assert.equal(route['BGP.med'], '5')
  assert.equal(route['BGP.as_path'], '')
  assert.equal(route['BGP.next_hop'], '10.9.0.1')
  assert.deepEqual(await rowsOf(driver), table)
  await driver.close()
})

test('without the definitions of its interface it says where they are from', t => {
  const apiDir = temporaryFolder(t)
  assert.throws(() => createGobgpDriver({ api: '127.0.0.1:50051', apiDir, secretsDir: apiDir }), {
    code: 'BGP_API_MISSING',
  })
})

/** Since when each session is up. */
async function sessionsOf(driver: Driver<BgpRow>): Promise<unknown> {
  const { sessions } = (await driver.observe()).facts as { sessions: { peer: string; since: string }[] }
  return sessions.map(({ peer, since }) => [peer, since])
}
