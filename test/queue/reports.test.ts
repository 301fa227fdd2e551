import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import type { RedisConnection } from '../../reconciler/queue/connection.ts'
import { REPORT_STREAM_KEY, reportKey } from '../../reconciler/queue/keys.ts'
import { createReports, type Reports } from '../../reconciler/queue/reports.ts'
import { createRevisions } from '../../reconciler/queue/revisions.ts'
import { NodeReport } from '../../schemas/report.ts'
import { RevisionState } from '../../schemas/revision-state.ts'
import { arbitraryOf } from '../schemas/arbitrary-of.ts'
import { makeReportOf } from './examples.ts'
import { makeRedis, type TestRedis, until } from './make-redis.ts'

const report = (node: string, at: number): NodeReport => makeReportOf(node, { at })

/** What a stream has given so far, as `node@time`. */
function follow(redis: TestRedis): string[] {
  const abort = new AbortController()
  const given: string[] = []
  const following = (async () => {
    const reports = createReports(redis.connect({ deadline: 500 }))
    for await (const { node, at } of reports.stream(abort.signal)) given.push(`${node}@${at}`)
  })()
  redis.beforeItEnds(async () => {
    abort.abort()
    await following
  })
  return given
}

/** That Redis has received, with the question for it. */
async function inputBytes(connection: RedisConnection): Promise<number> {
  const info = await connection.call(client => client.info('stats'))
  return Number(/total_net_input_bytes:(\d+)/.exec(info)?.[1])
}

const published = (reports: Reports, next: NodeReport) => () =>
  reports.publish(next).then(
    () => true,
    () => false,
  )

suite('reports of nodes', () => {
  test('are read as they were published, the latest of each', async t => {
    const redis = await makeRedis(t)
    const reports = createReports(redis.connect())
    assert.equal((await reports.readAll()).size, 0)
    const last = new Map<string, NodeReport>()
    await fc.assert(
      fc.asyncProperty(arbitraryOf(NodeReport), async next => {
        const given = NodeReport.parse(next)
        await reports.publish(given)
        last.set(given.node, given)
        assert.deepEqual((await reports.readAll()).get(given.node), given)
      }),
      { numRuns: 40 },
    )
    assert.deepEqual(
      await reports.readAll(),
      new Map([...(await reports.readAll())].map(([node]) => [node, last.get(node)])),
    )
    assert.equal((await reports.readAll()).size, last.size)
  })

  test('that cannot be read are left out; those of a removed node are gone', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const reports = createReports(connection)
    for (const node of ['lb1', 'lb2', 'lb3']) await reports.publish(report(node, 1))
    await connection.call(client => client.hset(reportKey('lb2'), 'version', '99'))
    assert.deepEqual([...(await reports.readAll()).keys()].sort(), ['lb1', 'lb3'])
    await reports.remove('lb3')
    await reports.remove('lb3')
    assert.deepEqual([...(await reports.readAll()).keys()], ['lb1'])
  })

  test('are streamed: first the latest of every node, then each as it comes', async t => {
    const redis = await makeRedis(t)
    const reports = createReports(redis.connect())
    await reports.publish(report('lb1', 1))
    await reports.publish(report('lb1', 2))
    await reports.publish(report('lb2', 1))
    const given = follow(redis)
    await until('those that were there came', () => given.length >= 2)
    assert.deepEqual([...new Set(given)].sort(), ['lb1@2', 'lb2@1'])
    for (let at = 3; at < 20; at++) {
      await reports.publish(report('lb1', at))
      await until(`lb1@${at} came`, () => given.at(-1) === `lb1@${at}`)
    }
  })

  test('send what is new in them alone, small or large, and all of it where another one stands', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const reports = createReports(connection)
    const seen = new Map<string, NodeReport>()
    const abort = new AbortController()
    const following = (async () => {
      for await (const each of createReports(redis.connect()).stream(abort.signal)) seen.set(each.node, each)
    })()
    const endFollowing = async (): Promise<void> => {
      abort.abort()
      await following
    }
    redis.beforeItEnds(endFollowing)
    const field = fc.record(
      {
        pending: fc.array(fc.string({ maxLength: 600 }), { maxLength: 3 }),
        outcome: fc.constantFrom('applied', 'failed', null),
        facts: fc.constantFrom({}, { xdp: { a: 1 } }),
        paused: fc.constant({ version: 1 as const, since: 1, until: 2, why: 'by hand', by: 'ann' }),
      },
      { requiredKeys: ['pending', 'outcome', 'facts'] },
    )
    const disturb = fc.constantFrom('no', 'no', 'no', 'other', 'remove', 'string', 'empty')
    let at = 1
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(field, disturb), { minLength: 1, maxLength: 6 }), async rounds => {
        for (const [change, disturbed] of rounds) {
          if (disturbed === 'other') await createReports(connection).publish(report('lb1', at++))
          else if (disturbed === 'remove') await reports.remove('lb1')
          else if (disturbed === 'empty') await redis.empty()
          else if (disturbed === 'string')
            await connection.call(client => client.set(reportKey('lb1'), 'of an older version'))
          const next: NodeReport = { ...report('lb1', at++), ...change }
          await reports.publish(next).catch(() => reports.publish(next))
          assert.deepEqual((await reports.readAll()).get('lb1'), next)
          await until('it was streamed', () => isDeepStrictEqual(seen.get('lb1'), next))
        }
      }),
      { numRuns: 15 },
    )
    // Redis counts what every connection sends it: one that follows asks again after each report.
    await endFollowing()
    await reports.publish(report('lb1', at++))
    const before = await inputBytes(connection)
    await reports.publish(report('lb1', at++))
    const sent = (await inputBytes(connection)) - before
    assert.ok(sent < 400, `a report without news is small, and took ${sent} bytes`)
  })

  test('that come all at once from many nodes are all seen, each node at its latest', async t => {
    const redis = await makeRedis(t)
    const reports = createReports(redis.connect())
    const given = follow(redis)
    const nodes = Array.from({ length: 100 }, (_, index) => `lb${index}`)
    await Promise.all(nodes.map(node => reports.publish(report(node, 1))))
    await Promise.all(nodes.map(node => reports.publish(report(node, 2))))
    await until('all came', () => nodes.every(node => given.includes(`${node}@2`)))
  })

  test('do not pile up in the stream', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const reports = createReports(connection)
    const fill = "for _ = 1, 15000 do redis.call('XADD', KEYS[1], '*', 'node', 'lb1') end"
    await connection.call(client => client.eval(fill, 1, REPORT_STREAM_KEY))
    await reports.publish(report('lb1', 1))
    const length = await connection.call(client => client.xlen(REPORT_STREAM_KEY))
    assert.ok(length < 11_000, `${length} entries`)
  })

  test('go on being streamed after Redis was killed, and after it was emptied', async t => {
    const redis = await makeRedis(t)
    const reports = createReports(redis.connect({ deadline: 500 }))
    await reports.publish(report('lb1', 1))
    const given = follow(redis)
    await until('the first came', () => given.includes('lb1@1'))
    await redis.kill()
    await redis.start()
    await until('it can publish again', published(reports, report('lb2', 2)))
    await until('the second came', () => given.includes('lb2@2'))
    await redis.empty()
    await reports.publish(report('lb3', 3))
    await until('the third came', () => given.includes('lb3@3'))
  })

  test('of a Redis whose clock went back are seen all the same', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const reports = createReports(connection)
    await connection.call(client =>
      client.xadd(REPORT_STREAM_KEY, `${Date.now() + 3_600_000}-0`, 'node', 'lb1'),
    )
    const given = follow(redis)
    await reports.publish(report('lb1', 1))
    await until('the first came', () => given.includes('lb1@1'))
    await redis.empty()
    await reports.publish(report('lb1', 2))
    await until('the second came', () => given.includes('lb1@2'))
  })

  test('are not waited for any more when the stream is aborted, idle or with Redis away', async t => {
    const redis = await makeRedis(t)
    for (const away of [false, true]) {
      if (away) await redis.kill()
      const abort = new AbortController()
      setTimeout(() => abort.abort(), 50)
      for await (const _ of createReports(redis.connect({ deadline: 500 })).stream(abort.signal))
        assert.fail('none there')
    }
  })
})

test('the state of the repository is read as it was written', async t => {
  const redis = await makeRedis(t)
  const revisions = createRevisions(redis.connect())
  assert.equal(await revisions.read(), null)
  await fc.assert(
    fc.asyncProperty(arbitraryOf(RevisionState), async state => {
      await revisions.write(RevisionState.parse(state))
      assert.deepEqual(await revisions.read(), RevisionState.parse(state))
    }),
    { numRuns: 20 },
  )
})
