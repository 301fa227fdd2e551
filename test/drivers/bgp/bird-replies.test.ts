import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { composeConfig, readConfig } from '../../../reconciler/drivers/bgp/bird/compose-config.ts'
import { includePattern } from '../../../reconciler/drivers/bgp/bird/config-file.ts'
import {
  readBfdSessions,
  readProtocols,
  readRoutes,
  readStatus,
} from '../../../reconciler/drivers/bgp/bird/read-replies.ts'
import { createReplyReader, isError, type Reply } from '../../../reconciler/drivers/bgp/bird/reply.ts'
import { steadyTime } from '../../../reconciler/drivers/bgp/bird/steady-time.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { bgpTables } from './bgp-tables.ts'

/** golden/ holds what BIRD 2.0.12 wrote to its control socket. */
const golden = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'golden', `${name}.txt`), 'utf8')
const replyOf = (name: string): Reply => createReplyReader().read(golden(name)).replies[0]!

test('a status', () => {
  assert.deepEqual(readStatus(replyOf('status')), {
    version: '2.0.12',
    startedAt: '2026-11-23 00:26:32.130',
    configuredAt: '2026-11-23 00:26:32.130',
    configurationAge: 4421,
  })
})

test('a time that BIRD says is the same a few ms later, and another one is not', () => {
  const steady = steadyTime()
  const first = '2026-11-23 00:26:59.998'
  for (const [said, given] of [
    [first, first],
    ['2026-11-23 00:27:00.002', first],
    ['2026-11-23 00:26:59.990', first],
    ['2026-11-23 00:27:01.002', '2026-11-23 00:27:01.002'],
    [first, first],
    ['a format of the administrator', 'a format of the administrator'],
    ['another time in it', 'another time in it'],
  ] as const)
    assert.equal(steady(said), given)
})

test('protocols, with a session that is up', () => {
  const protocols = readProtocols(replyOf('protocols'))
  assert.deepEqual(
    protocols.map(({ name, type, state }) => [name, type, state]),
    [
      ['device1', 'Device', 'up'],
      ['ballast_bfd', 'BFD', 'up'],
      ['ballast_static4', 'Static', 'up'],
      ['ballast_static6', 'Static', 'up'],
      ['ballast_r1', 'BGP', 'up'],
    ],
  )
  assert.deepEqual(protocols[4]?.bgp, {
    state: 'Established',
    lastError: '',
    channels: { ipv4: { up: true, exported: 2 }, ipv6: { up: true, exported: 1 } },
  })
})

test('a session that is down, and why', () => {
  const [protocol] = readProtocols(replyOf('protocols-down'))
  assert.deepEqual(protocol, {
    name: 'ballast_r1',
    type: 'BGP',
    state: 'start',
    since: protocol?.since,
    bgp: {
      state: 'Active',
      lastError: 'Socket: Connection refused',
      channels: { ipv4: { up: false, exported: 0 }, ipv6: { up: false, exported: 0 } },
    },
  })
  assert.ok(isError(replyOf('export-down')))
  assert.deepEqual(readRoutes(replyOf('export-down')), [])
})

test('what was exported, with its attributes', () => {
  const routes = readRoutes(replyOf('export-ipv4'))
  assert.deepEqual(routes[1], {
    prefix: '203.0.113.10/32',
    protocol: 'ballast_static4',
    attributes: {
      'BGP.as_path': '65001 65001',
      'BGP.med': '50',
      'BGP.large_community': '(65001, 1, 2)',
      ballast_peers: '(0, 0, 1)',
      ballast_med: '8',
    },
  })
  assert.deepEqual(
    readRoutes(replyOf('export-ipv6')).map(({ prefix }) => prefix),
    ['2001:db8::10/128'],
  )
})

test('lists that go over several lines', () => {
  const [route] = readRoutes(replyOf('long-lists'))
  const count = (name: string) => route!.attributes[name]!.split(') (').length
  assert.deepEqual(['BGP.community', 'BGP.large_community', 'ballast_peers'].map(count), [61, 60, 40])
})

test('sessions of BFD', () => {
  assert.deepEqual(readBfdSessions(replyOf('bfd')), [{ address: '10.9.0.2', state: 'Down' }])
})

test('an answer is the same in whatever pieces it comes', () => {
  const text = golden('protocols')
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), cuts => {
      const reader = createReplyReader()
      const ends = [...cuts.toSorted((a, b) => a - b), text.length]
      const replies = ends.flatMap((end, i) => reader.read(text.slice(ends[i - 1] ?? 0, end)).replies)
      assert.deepEqual(replies, [replyOf('protocols')])
    }),
  )
})

test('what is no answer of BIRD is an error, and what it says unasked no answer', () => {
  const reader = createReplyReader()
  assert.deepEqual(reader.read('+ballast_tor: BFD session down\n'), {
    replies: [],
    spontaneous: ['ballast_tor: BFD session down'],
  })
  assert.throws(
    () => reader.read('HTTP/1.1 400 Bad Request\n'),
    (error: BallastError) => error instanceof BallastError && error.code === 'BGP_REPLY_UNREADABLE',
  )
})

test('a file tells what it was composed of, unless one character of it is another', () => {
  fc.assert(
    fc.property(bgpTables('bird'), fc.nat(), (rows, at) => {
      const text = composeConfig({ rows, secrets: new Map(), ownBfd: true })
      assert.deepEqual(readConfig(text)?.rows, rows)
      const place = at % text.length
      const other = text[place] === 'x' ? 'y' : 'x'
      assert.equal(readConfig(text.slice(0, place) + other + text.slice(place + 1)), null)
    }),
  )
})

test('the pattern for the include matches the file, and is one', () => {
  assert.equal(includePattern('/run/ballast/lb-1/bird.conf'), '/run/[b]allast/lb-1/bird.conf')
})
