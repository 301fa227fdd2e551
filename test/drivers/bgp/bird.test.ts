import assert from 'node:assert/strict'
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createBirdDriver } from '../../../reconciler/drivers/bgp/bird/driver.ts'
import { readProtocols } from '../../../reconciler/drivers/bgp/bird/read-replies.ts'
import { steadyTime } from '../../../reconciler/drivers/bgp/bird/steady-time.ts'
import type { Driver } from '../../../reconciler/drivers/driver.ts'
import type { BgpRow, Table } from '../../../schemas/node-state.ts'
import { assertReached, converge, editsTo, never } from '../contract.ts'
import {
  addBird,
  type BirdNode,
  NODE_ASN,
  openRouterLab,
  PEERING,
  peerRow,
  type RouterLab,
  routeRow,
  speakerRow,
  tableOf,
  until,
} from './router-lab.ts'

const reach = (driver: Driver<BgpRow>, table: Table<BgpRow>) => converge<'bgp'>(driver, table)
const reached = (table: Table<BgpRow>, rows: Table<BgpRow>) => assertReached<'bgp'>(table, rows, 'bgp')
const rowsOf = async (driver: Driver<BgpRow>) => (await driver.observe()).rows

describe('BIRD, with a session to a router', () => {
  let lab: RouterLab
  let bird: BirdNode
  let driver: Driver<BgpRow>
  const learnt = async () => (await lab.learnt()).map(({ prefix }) => prefix).sort()
  const untilLearnt = (...prefixes: string[]) =>
    until(`the router to learn ${prefixes}`, async () => (await learnt()).join() === prefixes.join())

  before(async () => {
    lab = await openRouterLab(PEERING)
    bird = await addBird(lab)
    driver = createBirdDriver(bird)
  })
  after(() => lab[Symbol.asyncDispose]())

  test('a route is in the router with all of its attributes, and read back from what was sent', async () => {
    const table = tableOf(
      speakerRow(),
      peerRow({ bfd: { interval: 200, multiplier: 4 } }),
      routeRow({
        communities: ['65001:100', '65535:0'],
        largeCommunities: ['65001:1:2'],
        med: 50,
        localPreference: 200,
        prepend: 2,
      }),
      routeRow({ prefix: '2001:db8::10/128' }),
      routeRow({ prefix: '203.0.113.0/28' }),
    )
    assert.deepEqual(await rowsOf(driver), {})
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
    const route = (await lab.learnt()).find(({ prefix }) => prefix === '203.0.113.10/32')!
    assert.equal(route.attributes['BGP.as_path'], '65001 65001 65001')
    assert.equal(route.attributes['BGP.community'], '(65001,100) (65535,0)')
    assert.equal(route.attributes['BGP.large_community'], '(65001, 1, 2)')
    assert.deepEqual(await rowsOf(driver), table)
  })

  test('the session is a fact, with BFD', async () => {
    const session = await until('BFD', async () => {
      const { sessions } = (await driver.observe()).facts as { sessions: { bfd: string; state: string }[] }
      return sessions[0]?.bfd === 'Up' && sessions[0]
    })
    assert.equal(session.state, 'Established')
  })

  test('attributes that change are sent without a new session', async () => {
    const steady = steadyTime()
    const since = steady(await sessionSince(driver))
    const table = { ...(await rowsOf(driver)), 'route/203.0.113.10/32': routeRow({ med: 7 }) }
    reached(table, await reach(driver, table))
    await until('the router to see it', async () =>
      (await lab.learnt()).some(({ attributes }) => attributes['BGP.med'] === '7'),
    )
    assert.equal(steady(await sessionSince(driver)), since)
  })

  test('a route that goes to no peer is not sent, and the others stay', async () => {
    const table = { ...(await rowsOf(driver)), 'route/203.0.113.10/32': routeRow({ peers: [] }) }
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28')
    const back = { ...table, 'route/203.0.113.10/32': routeRow() }
    reached(back, await reach(driver, back))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('what is withdrawn by hand is seen, and put back', async () => {
    const table = await rowsOf(driver)
    const fingerprint = await driver.fingerprint()
    await bird.ask('disable ballast_static4')
    await untilLearnt('2001:db8::10/128')
    assert.notEqual(await driver.fingerprint(), fingerprint)
    assert.deepEqual(Object.keys(await rowsOf(driver)).sort(), [
      'peer/tor-1',
      'route/2001:db8::10/128',
      'speaker',
    ])
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('a session that was disabled by hand is seen, and put back', async () => {
    const table = await rowsOf(driver)
    await bird.ask('disable ballast_tor_1')
    assert.equal((await rowsOf(driver))['peer/tor-1'], undefined)
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('a file that was changed by hand, and configured, is put back', async () => {
    const table = await rowsOf(driver)
    writeFileSync(bird.file, readFileSync(bird.file, 'utf8').replaceAll('203.0.113.10/32', '203.0.113.66/32'))
    await bird.ask('configure')
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.66/32')
    assert.ok(editsTo<'bgp'>(table, await rowsOf(driver), 'bgp').length > 0)
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('a file that was changed by hand, and not configured yet, is put back, and nothing has happened', async () => {
    const table = await rowsOf(driver)
    const file = readFileSync(bird.file, 'utf8')
    writeFileSync(bird.file, file.replaceAll('203.0.113.10/32', '203.0.113.66/32'))
    assert.deepEqual(await rowsOf(driver), table)
    assert.equal(readFileSync(bird.file, 'utf8'), file)
    await bird.ask('configure')
    assert.deepEqual(await rowsOf(driver), table)
  })

  test('routes that BIRD was made to read from another file are seen, and put back', async () => {
    const table = await rowsOf(driver)
    const [main, aside] = [`${bird.main}.by-hand`, `${bird.file}.by-hand`]
    const text = readFileSync(bird.file, 'utf8')
    writeFileSync(aside, text.replaceAll('203.0.113.10/32', '203.0.113.66/32'))
    writeFileSync(main, readFileSync(bird.main, 'utf8').replace(/^include .*$/m, `include "${aside}";`))
    await bird.ask(`configure "${main}"`)
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.66/32')
    assert.deepEqual(
      editsTo<'bgp'>(table, await rowsOf(driver), 'bgp')
        .map(({ key }) => key)
        .sort(),
      ['route/203.0.113.10/32', 'route/203.0.113.66/32'],
    )
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
    assert.equal(readFileSync(bird.file, 'utf8'), text)
  })

  test("an administrator's edit that is not valid, or not in force, is not made to take effect", async () => {
    const table = await rowsOf(driver)
    const main = readFileSync(bird.main, 'utf8')
    const more = { ...table, 'route/203.0.113.20/32': routeRow({ prefix: '203.0.113.20/32' }) }
    const codesOf = async () => {
      const outcomes = await driver.apply(editsTo<'bgp'>(more, table, 'bgp'), never)
      return outcomes.map(outcome => outcome.result === 'failed' && outcome.code)
    }
    appendFileSync(bird.main, 'protocol static half {')
    assert.deepEqual(await codesOf(), ['BGP_CONFIG_BROKEN'])
    writeFileSync(bird.main, `${main}protocol static half { ipv4; }\n`)
    assert.deepEqual(await codesOf(), ['BGP_CONFIG_PENDING'])
    assert.deepEqual(await rowsOf(driver), table)
    await bird.ask('configure')
    reached(more, await reach(driver, more))
    reached(table, await reach(driver, table))
  })

  test('a change that nobody confirmed is undone, and the file with it', async () => {
    const table = await rowsOf(driver)
    const file = readFileSync(bird.file, 'utf8')
    const more = { ...table, 'route/203.0.113.30/32': routeRow({ prefix: '203.0.113.30/32' }) }
    reached(more, await reach(driver, more))
    const next = readFileSync(bird.file, 'utf8')
    reached(table, await reach(driver, table))
    // What a worker leaves that is killed before it confirms.
    writeFileSync(bird.file, next)
    await bird.ask('configure soft timeout 1')
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32', '203.0.113.30/32')
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
    assert.deepEqual(await rowsOf(driver), table)
    assert.equal(readFileSync(bird.file, 'utf8'), file)
  })

  test('what was configured and not confirmed is kept by who looks in time', async () => {
    const table = await rowsOf(driver)
    const more = { ...table, 'route/203.0.113.30/32': routeRow({ prefix: '203.0.113.30/32' }) }
    reached(more, await reach(driver, more))
    const next = readFileSync(bird.file, 'utf8')
    reached(table, await reach(driver, table))
    writeFileSync(bird.file, next)
    await bird.ask('configure soft timeout 60')
    assert.deepEqual(await rowsOf(createBirdDriver(bird)), more)
    assert.equal((await bird.ask('configure confirm')).text, 'Nothing to do')
    reached(table, await reach(driver, table))
  })

  test('news comes by itself', async () => {
    const abort = new AbortController()
    const reasons: string[] = []
    const watching = (async () => {
      for await (const { reason } of driver.watch!(abort.signal)) reasons.push(reason)
    })()
    await until('the watch', async () => reasons.includes('connected to BIRD'))
    await bird.ask('disable ballast_tor_1')
    await until('news', async () => reasons.some(reason => reason.startsWith('ballast_tor_1: ')))
    await bird.ask('enable ballast_tor_1')
    abort.abort()
    await watching
  })

  test('a BIRD that hangs is no empty one', async () => {
    const pid = Number(readFileSync(join(lab.dir, 'bird.pid'), 'utf8'))
    process.kill(pid, 'SIGSTOP')
    try {
      await assert.rejects(driver.observe(), { code: 'BGP_DAEMON_HUNG' })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('a BIRD that was killed has no speaker, loses nothing else, and announces again when it is back', async () => {
    const table = await rowsOf(driver)
    const pid = Number(readFileSync(join(lab.dir, 'bird.pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
    await until('BIRD to be gone', async () => (await driver.observe()).facts.running === false)
    const { speaker: _, ...rest } = table
    assert.deepEqual(await rowsOf(driver), rest)
    const [outcome] = await driver.apply(editsTo<'bgp'>(table, rest, 'bgp'), never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'BGP_DAEMON_UNREACHABLE')
    // A withdrawal takes effect although nobody listens.
    const { 'route/203.0.113.0/28': gone, ...less } = rest
    assert.ok(gone)
    assert.deepEqual(
      (await driver.apply(editsTo<'bgp'>(less, rest, 'bgp'), never)).map(({ result }) => result),
      ['applied'],
    )
    await bird.start()
    await untilLearnt('2001:db8::10/128', '203.0.113.10/32')
    reached(table, await reach(driver, table))
    await untilLearnt('2001:db8::10/128', '203.0.113.0/28', '203.0.113.10/32')
  })

  test('after a boot it announces nothing', async () => {
    const table = await rowsOf(driver)
    process.kill(Number(readFileSync(join(lab.dir, 'bird.pid'), 'utf8')), 'SIGKILL')
    rmSync(join(lab.dir, 'run'), { recursive: true })
    await until('BIRD to be gone', async () => (await driver.observe()).facts.running === false)
    await bird.start()
    assert.deepEqual(await rowsOf(driver), {})
    reached(table, await reach(driver, table))
  })

  test('an empty table leaves nothing of it in BIRD', async () => {
    assert.deepEqual(await reach(driver, {}), {})
    assert.deepEqual(
      (await bird.ask('show protocols')).lines.filter(({ text }) => text.startsWith('ballast')),
      [],
    )
    assert.ok(existsSync(bird.file))
  })
})

test('passwords come from a file, a new one is told, and a missing include too', async () => {
  await using lab = await openRouterLab(PEERING.replace('passive;', 'passive; password "one";'))
  const bird = await addBird(lab)
  const driver = createBirdDriver(bird)
  const table = tableOf(speakerRow(), peerRow({ password: { file: 'tor', stale: false } }), routeRow())
  const [missing] = await driver.apply(editsTo<'bgp'>(table, {}, 'bgp'), never)
  assert.equal(missing?.result === 'failed' && missing.code, 'BGP_SECRET_UNREADABLE')
  writeFileSync(join(bird.secretsDir, 'tor'), 'one\n')
  reached(table, await reach(driver, table))
  await until('the session', async () => (await lab.learnt()).length === 1)

  const fingerprint = await driver.fingerprint()
  writeFileSync(join(bird.secretsDir, 'tor'), 'two\n')
  assert.notEqual(await driver.fingerprint(), fingerprint)
  assert.deepEqual((await rowsOf(driver))['peer/tor-1'], peerRow({ password: { file: 'tor', stale: true } }))
  reached(table, await reach(driver, table))

  writeFileSync(bird.main, 'router id 10.9.0.1;\nprotocol device { }\n')
  await bird.ask('configure')
  assert.deepEqual(await rowsOf(driver), {})
  const [outcome] = await driver.apply(editsTo<'bgp'>(table, {}, 'bgp'), never)
  assert.equal(outcome?.result === 'failed' && outcome.code, 'BGP_INCLUDE_MISSING')
})

test('a peer that does not answer is tried again and again, which is no change', async () => {
  await using lab = await openRouterLab(PEERING)
  const bird = await addBird(lab)
  const driver = createBirdDriver(bird)
  const table = tableOf(speakerRow(), peerRow({ address: '10.9.0.77' }))
  reached(table, await reach(driver, table))
  const states = new Set<string>()
  const fingerprints = new Set<string>()
  await until('it was tried in two states since the first failure', async () => {
    const session = readProtocols(await bird.ask('show protocols all')).find(({ bgp }) => bgp !== null)!.bgp!
    if (session.lastError === '') return false
    states.add(session.state)
    fingerprints.add(await driver.fingerprint())
    return states.size > 1
  })
  assert.equal(fingerprints.size, 1)
})

async function sessionSince(driver: Driver<BgpRow>): Promise<string> {
  const { sessions } = (await driver.observe()).facts as { sessions: { since: string }[] }
  return sessions[0]!.since
}

test('a peer of the own AS gets the local preference and the MED, and no AS in the path', async () => {
  await using lab = await openRouterLab(PEERING.replace('local as 65000', 'direct; local as 65001'))
  const driver = createBirdDriver(await addBird(lab))
  const table = tableOf(
    speakerRow(),
    peerRow({ asn: NODE_ASN, families: ['ipv4'], gracefulRestart: 60 }),
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
  assert.deepEqual(await rowsOf(driver), table)
})
