import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { followNextHops } from '../../../reconciler/drivers/xdp/next-hops/follow-next-hops.ts'
import { isNewNeighbour } from '../../../reconciler/drivers/xdp/next-hops/is-new-neighbour.ts'
import { waitUntil } from '../../../reconciler/lab/wait-until.ts'

const A = '02:00:00:00:00:0a'
const B = '02:00:00:00:00:0b'
const KNOWN = new Map([
  ['10.7.0.11', A],
  ['fd00::12', null],
])

test('of what the kernel tells of neighbours, that is news which moves packets to a backend', () => {
  const isNews = (line: string): boolean => isNewNeighbour(line, KNOWN)
  for (const line of [
    `10.7.0.11 dev wire0 lladdr ${B} REACHABLE `,
    `10.7.0.11 dev wire0 lladdr ${B} PERMANENT`,
    '10.7.0.11 dev wire0  FAILED ',
    `fd00::12 dev wire0 lladdr ${A} router REACHABLE`,
  ])
    assert.equal(isNews(line), true, line)
  for (const line of [
    `10.7.0.11 dev wire0 lladdr ${A} STALE `,
    '10.7.0.11 dev wire0  INCOMPLETE ',
    `Deleted 10.7.0.11 dev wire0 lladdr ${A} STALE `,
    'fd00::12 dev wire0  FAILED ',
    `10.7.0.99 dev wire0 lladdr ${B} REACHABLE `,
    '',
  ])
    assert.equal(isNews(line), false, line)
})

/** A second goes by when the test says so. */
function follow(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const bench = {
    known: KNOWN as ReadonlyMap<string, string | null>,
    refreshed: 0,
    lines: null as PassThrough | null,
    second: () => t.mock.timers.tick(1_000),
    until: (what: string, holds: () => boolean) =>
      waitUntil({ what, deadline: 10_000 }, () => holds() || null),
  }
  const follower = followNextHops({
    async refresh() {
      bench.refreshed++
      return bench.known
    },
    async *watch(signal) {
      const lines = new PassThrough()
      bench.lines = lines
      signal.addEventListener('abort', () => lines.end(), { once: true })
      yield* createInterface({ input: lines })
      bench.lines = null
    },
    onError: error => assert.ifError(error),
  })
  t.after(() => follower.stop())
  return { bench, follower }
}

test('a neighbour that has another link address is followed at once, and others move nothing', async t => {
  const { bench } = follow(t)
  bench.second()
  await bench.until('it listens', () => bench.lines !== null)
  assert.equal(bench.refreshed, 1)
  for (let host = 0; host < 1_000; host++)
    bench.lines!.write(`10.9.${host >> 8}.${host & 255} dev wire0 lladdr ${B} REACHABLE \n`)
  bench.lines!.write(`10.7.0.11 dev wire0 lladdr ${A} STALE \n`)
  await setImmediate()
  assert.equal(bench.refreshed, 1)
  bench.lines!.write(`10.7.0.11 dev wire0 lladdr ${B} REACHABLE \n`)
  await bench.until('it is refreshed', () => bench.refreshed === 2)
})

test('a neighbour that never rests costs one refresh, and then one after a while', async t => {
  const { bench } = follow(t)
  bench.second()
  await bench.until('it listens', () => bench.lines !== null)
  for (let flip = 0; flip < 1_000; flip++)
    bench.lines!.write(`10.7.0.11 dev wire0 lladdr 02:00:00:00:00:${flip % 2 ? '0b' : '0c'} REACHABLE \n`)
  await bench.until('it is refreshed', () => bench.refreshed === 2)
  await bench.until('it is refreshed again', () => bench.refreshed === 3)
})

test('nobody listens while no link address matters, nor after the end', async t => {
  const { bench, follower } = follow(t)
  bench.known = new Map()
  bench.second()
  await bench.until('it looked', () => bench.refreshed === 1)
  assert.equal(bench.lines, null)
  bench.known = KNOWN
  bench.second()
  await bench.until('it listens', () => bench.lines !== null)
  bench.known = new Map()
  bench.second()
  await bench.until('it listens no more', () => bench.lines === null)
  bench.known = KNOWN
  bench.second()
  await bench.until('it listens again', () => bench.lines !== null)
  await follower.stop()
  assert.equal(bench.lines, null)
})
