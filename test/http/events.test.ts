import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createEventLog } from '../../reconciler/http/events/event-log.ts'
import { findNews } from '../../reconciler/http/events/find-news.ts'
import { ApiEvent } from '../../schemas/api/event.ts'
import { readEvents } from './read-events.ts'
import { makeDrift, makeReport, serveApp, TOKENS } from './serve-app.ts'

const push = (number: number): ApiEvent => ({
  type: 'push-seen',
  revision: String(number).padStart(40, '0'),
  subject: `push ${number}\nof two lines`,
  author: 'Ada <ada@example.org>',
})
const authorization = { authorization: `Bearer ${TOKENS.read}` }

describe('the stream of events', () => {
  test('goes on after the last event that was seen, without one lost or given twice', async t => {
    const app = await serveApp(t)
    const url = `${app.url}/api/v1/events`
    const first = readEvents(t, url, authorization)
    await first.opened
    for (let n = 0; n < 5; n++) app.publish(push(n))
    await first.until('five events', seen => seen.length === 5)
    assert.deepEqual(
      first.seen.map(({ data }) => ApiEvent.parse(data)),
      [0, 1, 2, 3, 4].map(push),
    )
    first.close()
    for (let n = 5; n < 8; n++) app.publish(push(n))
    const again = readEvents(t, url, { ...authorization, 'last-event-id': first.seen[3]!.id })
    await again.until('the rest', seen => seen.length === 4)
    assert.deepEqual(
      again.seen.map(({ data }) => data),
      [4, 5, 6, 7].map(push),
    )
    const ids = [...first.seen, ...again.seen.slice(1)].map(({ id }) => id)
    assert.equal(new Set(ids).size, 8)
  })

  test('says that there is a gap when it does not know the last event, of another process or long ago', async t => {
    const app = await serveApp(t)
    const url = `${app.url}/api/v1/events`
    for (const id of ['of-another-process-7', 'nonsense', '', '-1', '9'.repeat(400)]) {
      const reader = readEvents(t, url, { ...authorization, 'last-event-id': id })
      await reader.until('a gap', seen => seen[0]?.event === 'gap')
      app.publish(push(1))
      await reader.until('what comes then', seen => seen[1]?.event === 'push-seen')
      reader.close()
    }
  })

  test('ends with the server', async t => {
    const app = await serveApp(t)
    const response = await app.fetch('/api/v1/events', { token: TOKENS.read })
    app.end()
    assert.match(await response.text(), /^retry: 2000\n: following\n\n/)
  })

  test('is open for a hundred at most, and who goes makes room', async t => {
    const app = await serveApp(t)
    const ending = new AbortController()
    t.after(() => ending.abort())
    const open = () => app.fetch('/api/v1/events', { token: TOKENS.read, signal: ending.signal })
    const streams = await Promise.all(Array.from({ length: 101 }, open))
    const statuses = streams.map(({ status }) => status)
    assert.deepEqual([statuses.filter(status => status === 200).length, statuses.includes(503)], [100, true])
    ending.abort()
    const end = Date.now() + 10_000
    let metrics = ''
    while (!/^ballast_event_streams 0$/m.test(metrics)) {
      assert.ok(Date.now() < end, 'streams stay open')
      app.clock.now += 2_000
      metrics = await (await app.fetch('/metrics')).text()
    }
  })
})

describe('the events that are kept', () => {
  const take = async (events: ReturnType<typeof createEventLog>, lastId: string | null, count: number) => {
    const taken: string[] = []
    for await (const next of events.follow(lastId, 1, AbortSignal.timeout(5_000))) {
      if (next === null) break
      taken.push(next.event.type === 'push-seen' ? next.event.revision.slice(-2) : next.event.type)
      if (taken.length === count) break
    }
    return taken
  }

  test('are bounded, and what fell out is a gap before the rest', async () => {
    const events = createEventLog('run', 3)
    for (let n = 1; n <= 5; n++) events.publish(push(n))
    assert.deepEqual(await take(events, 'run-1', 4), ['gap'])
    assert.deepEqual(await take(events, 'run-2', 3), ['03', '04', '05'])
    assert.deepEqual(await take(events, 'run-5', 3), [])
    assert.deepEqual(await take(events, 'run-6', 1), ['gap'])
  })

  test('a reader who is too slow finds a gap, and goes on', async () => {
    const events = createEventLog('run', 3)
    const reader = events.follow(null, 1_000, AbortSignal.timeout(5_000))
    const first = reader.next()
    events.publish(push(1))
    assert.equal((await first).value?.event.type, 'push-seen')
    for (let n = 2; n <= 9; n++) events.publish(push(n))
    const rest = [await reader.next(), await reader.next()].map(({ value }) => value?.event.type)
    assert.deepEqual(rest, ['gap', 'push-seen'])
    await reader.return(undefined)
  })

  test('a quiet time is told, for a heartbeat', async () => {
    const reader = createEventLog('run').follow(null, 5, AbortSignal.timeout(5_000))
    assert.deepEqual(await reader.next(), { value: null, done: false })
    await reader.return(undefined)
  })
})

describe('what a report tells that the one before did not', () => {
  const types = (...reports: Parameters<typeof findNews>) => findNews(...reports).map(({ type }) => type)
  const report = makeReport('lb-1')

  test('a heartbeat is no news', () => {
    assert.deepEqual(types(report, { ...report, at: report.at + 10_000 }), [])
  })
  test('another generation, outcome or number of failures is', () => {
    assert.deepEqual(types(undefined, report), ['node-reported'])
    assert.deepEqual(types(report, { ...report, outcome: 'failed' }), ['node-reported'])
    assert.deepEqual(types(report, { ...report, want: { ...report.want!, generation: 6 } }), [
      'node-reported',
    ])
  })
  test('drift is found once, and healed once', () => {
    const open = { ...report, drift: [makeDrift(null)] }
    const healed = { ...report, drift: [makeDrift(20)] }
    assert.deepEqual(types(report, open), ['drift-found'])
    assert.deepEqual(types(open, open), [])
    assert.deepEqual(types(open, healed), ['drift-healed'])
    assert.deepEqual(types(healed, healed), [])
    assert.deepEqual(types(report, healed), ['drift-found', 'drift-healed'])
  })
})
