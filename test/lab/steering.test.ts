import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { backendsOf, hold } from './client-programs.ts'
import { applyAndCountCpus, makeRows, type NodeRows, skip, upWithBackends, WEB } from './xdp-lab.ts'

const TARGETS = ['http://203.0.113.10/']
const alone = availableParallelism() < 2 && 'there is one CPU only'

const CONNECTIONS = 60
/** Of hold-many.ts. */
const ECHO_EVERY_MS = 500

test('packets are spread over the CPUs that a node names and over no other, and connections outlive a change of them (rule 3)', {
  skip: skip || alone,
}, async t => {
  const lab = await upWithBackends(t, 'steering')
  const balancers = hostsOf(lab.topology, 'lb').map(({ name }) => name)
  /** Has packets steered so; gives those that each CPU of all load balancers sent to backends so far. */
  const steer = async (rps: string, ...weights: number[]): Promise<number[]> => {
    const counted = await Promise.all(
      balancers.map(async name => {
        const rows = await makeRows(name, { [WEB]: { backends: backendsOf(lab, ...weights) } })
        return applyAndCountCpus(lab, name, steered(rows, rps))
      }),
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

  const held = await hold(lab, CONNECTIONS)
  // Nothing but its flow entry leads a connection of the first backend to it, and no CPU but the other one.
  await steer('0', 0, 10, 200)
  await steer('1', 0, 10, 200)
  process.kill(held.program.pid, 'SIGUSR2')
  await delay(2 * ECHO_EVERY_MS)
  assert.deepEqual(await held.stop(), { kind: 'ended', lost: {}, silent: 0 })
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
