import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { before, suite, test } from 'node:test'
import {
  buildDhTable,
  buildMhTable,
  buildShTable,
  dhSlotOf,
  type KernelBackend,
  mhSlotOf,
  shSlotOf,
} from '../../../../reconciler/ring/kernel-tables.ts'
import { restore, run, withCleanKernel } from './lab.ts'

const VIP = '203.0.113.1'
const FLOWS = 100
const FIRST_PORT = 30_000

const dotted = (hex: string): string => [...Buffer.from(hex, 'hex')].join('.')

/** Of every flow that the kernel remembers: source, port of the service, backend. */
async function readFlows() {
  const [, ...lines] = (await readFile('/proc/net/ip_vs_conn', 'utf8')).trim().split('\n')
  return lines
    .map(line => line.split(/ +/))
    .map(([, source = '', port = '', , service = '', backend = '']) => ({
      source: dotted(source),
      port: Number.parseInt(port, 16),
      service: Number.parseInt(service, 16),
      backend: dotted(backend),
    }))
    .filter(({ port }) => port >= FIRST_PORT && port < FIRST_PORT + FLOWS)
}

/** One packet of every flow to each of these ports of the VIP. */
async function sendAll(services: readonly number[]): Promise<void> {
  for (let port = FIRST_PORT; port < FIRST_PORT + FLOWS; port++) {
    const socket = createSocket('udp4').bind(port)
    // An answer of the kernel that there is nobody is no matter.
    socket.on('error', () => {})
    await once(socket, 'listening')
    for (const service of services)
      await new Promise<void>(done => {
        socket.send('x', service, VIP, () => done())
      })
    socket.close()
  }
}

interface Case {
  readonly title: string
  readonly scheduler: string
  /** In the order in which they are added. */
  readonly weights: readonly number[]
  /** Index of one that is drained afterwards. */
  readonly drained?: number
  readonly choose: (backends: readonly KernelBackend[], source: string, port: number) => number
}

const mh = (backends: readonly KernelBackend[], source: string, port: number) =>
  buildMhTable(backends)[mhSlotOf(source, port)]!

const CASES: readonly Case[] = [
  { title: 'mh', scheduler: 'mh -b mh-port', weights: [1, 1, 1, 1, 1, 1, 1], choose: mh },
  { title: 'mh by weights', scheduler: 'mh -b mh-port', weights: [3, 6, 30, 9, 12], choose: mh },
  {
    title: 'mh by weights too large for it',
    scheduler: 'mh -b mh-port',
    weights: [1, 1000, 777],
    choose: mh,
  },
  {
    title: 'mh by address alone',
    scheduler: 'mh',
    weights: [1, 2, 3],
    choose: (backends, source) => mh(backends, source, 0),
  },
  {
    title: 'mh with a backend that drains, whose flows find another one',
    scheduler: 'mh -b mh-port,mh-fallback',
    weights: [2, 5, 4],
    drained: 1,
    choose: mh,
  },
  {
    title: 'sh',
    scheduler: 'sh -b sh-port',
    weights: [1, 3, 2],
    choose: (backends, source, port) => buildShTable(backends)[shSlotOf(source, port)]!,
  },
  {
    title: 'dh',
    scheduler: 'dh',
    weights: [1, 3, 2],
    choose: backends => buildDhTable(backends)[dhSlotOf(VIP)]!,
  },
]

const portOf = (number: number): number => 81 + number

/** Without NAT a backend has the port of the service, whatever is asked for. */
const backendsOf = ({ weights, drained }: Case, port: number) =>
  weights.map((weight, index) => ({
    address: `10.0.${index}.9`,
    port,
    weight: index === drained ? 0 : weight,
    lastWeight: weight,
  }))

suite('the tables that a plan computes are those of the kernel', () => {
  withCleanKernel()
  let found: Awaited<ReturnType<typeof readFlows>> = []
  before(async () => {
    await run('ip', 'addr', 'add', `${VIP}/32`, 'dev', 'lo')
    await run('ipvsadm', '--set', '0', '0', '300')
    await run('ip', 'route', 'add', '10.0.0.0/8', 'dev', 'vips')
    const lines = CASES.flatMap((each, number) => {
      const service = `-u ${VIP}:${portOf(number)}`
      const backends = backendsOf(each, portOf(number))
      return [
        `-A ${service} -s ${each.scheduler}`,
        ...backends.map(
          ({ address, lastWeight }) => `-a ${service} -r ${address}:${portOf(number)} -g -w ${lastWeight}`,
        ),
        ...backends
          .filter(({ weight }) => weight === 0)
          .map(({ address }) => `-e ${service} -r ${address}:${portOf(number)} -g -w 0`),
      ]
    })
    await restore(...lines)
    await sendAll([...CASES.keys()].map(portOf))
    found = await readFlows()
  })

  for (const [number, each] of CASES.entries()) {
    test(each.title, () => {
      const backends = backendsOf(each, portOf(number))
      const chosen = found
        .filter(({ service }) => service === portOf(number))
        .map(({ source, port, backend }) => ({ backend, wanted: each.choose(backends, source, port) }))
      assert.equal(chosen.length, FLOWS)
      const isOrphan = ({ wanted }: { wanted: number }) => wanted === each.drained
      assert.deepEqual(
        chosen.filter(flow => !isOrphan(flow) && flow.backend !== backends[flow.wanted]!.address),
        [],
      )
      assert.equal(chosen.some(isOrphan), each.drained !== undefined)
      if (each.drained === undefined) return
      const { address } = backends[each.drained]!
      assert.ok(chosen.every(({ backend }) => backend !== address))
    })
  }
})
