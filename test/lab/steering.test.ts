import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { applyAndCountCpus, makeRows, type NodeRows, skip, upWithBackends, WEB } from './xdp-lab.ts'

const TARGETS = ['http://203.0.113.10/']
const alone = availableParallelism() < 2 && 'there is one CPU only'

test('the packets of an interface are spread over the CPUs that its node names, and over no other', {
  skip: skip || alone,
}, async t => {
  const lab = await upWithBackends(t, 'steering')
  const backends = hostsOf(lab.topology, 'backend').map(({ addresses }) => ({
    address: addresses.ipv4,
    weight: 1,
  }))
  const nodes = await Promise.all(
    hostsOf(lab.topology, 'lb').map(
      async ({ name }) => [name, await makeRows(name, { [WEB]: { backends } })] as const,
    ),
  )
  /** Has packets steered so; gives those that each CPU of all load balancers sent to backends so far. */
  const steer = async (rps: string): Promise<number[]> => {
    const counted = await Promise.all(
      nodes.map(([name, rows]) => applyAndCountCpus(lab, name, steered(rows, rps))),
    )
    return counted[0]!.map((_, cpu) => counted.reduce((sum, node) => sum + node[cpu]!, 0))
  }
  const askOften = async (): Promise<void> => {
    const load = await startLoad(lab, { targets: TARGETS, interval: 4, timeout: 3_000 })
    await waitUntil({ what: '300 requests', deadline: 30_000 }, () => load.events.length >= 300 || null)
    await load.stop()
    assert.deepEqual(failuresOf(load.events), [])
  }
  const begin = await steer('1')
  await askOften()
  const between = await steer('0-1')
  assert.deepEqual(since(begin, between).slice(0, 1), [0], `CPU 1 alone: ${since(begin, between)}`)
  assert.ok(since(begin, between)[1]! >= 1000, `CPU 1 alone: ${since(begin, between)}`)

  await askOften()
  const [first = 0, second = 0] = since(between, await steer('0-1'))
  const least = 0.25 * (first + second)
  assert.ok(first > least && second > least, `both: ${first} and ${second}`)
})

const since = (before: readonly number[], after: readonly number[]): number[] =>
  after.map((packets, cpu) => packets - before[cpu]!)

/** Before a program that is attached in generic mode, that is: see docs/xdp.md. */
const steered = (rows: NodeRows, rps: string): NodeRows =>
  Object.fromEntries(
    Object.entries(rows).map(([key, row]) => [
      key,
      row.kind === 'interface' ? { ...row, attach: 'generic', rps } : row,
    ]),
  )
