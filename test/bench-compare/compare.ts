import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { type Benchmark, quantile } from '../bench/benchmark.ts'
import { bundle } from '../kernels/bundle.ts'
import { REPORT, runInGuest } from '../kernels/guest.ts'
import { BASELINE, CONTENDERS, GENERATOR } from './contenders.ts'
import { drawComparison } from './draw-comparison.ts'
import type { Order, Window } from './inside/measure.ts'

const ROUNDS = 5
/** A slow processor: it also has to be emulated. */
const NS_PER_INSTRUCTION = 8
const LIMIT_MS = 400_000
const BPF = resolve(import.meta.dirname, '../../bpf')
const MODULES = [
  ...['pktgen', 'veth', 'dummy', 'iptable_nat', 'xt_nat', 'xt_tcpudp'],
  ...['ip_vs', 'ip_vs_mh'],
]

/**
 * Packets per second of every contender, with those who make them on the same CPU; and, without these, how often what iptables
 * DNAT forwards.
 */
export const comparison: Benchmark = {
  names: ['comparison'],
  async run({ say }) {
    await runCommand('make', ['-s', '-C', BPF, 'all', 'bench'], { timeout: 60_000 })
    say('booting Linux 6.1 of Debian in QEMU')
    const windows = await runInside()
    const rateOf = (name: string): number =>
      quantile(
        windows.flatMap(({ contender, rate }) => (contender === name ? rate : [])),
        0.5,
      )
    /** Seconds that a packet takes, less those that it takes to make it. */
    const costOf = (name: string): number => 1 / rateOf(name) - 1 / rateOf(GENERATOR)
    const figures = CONTENDERS.filter(({ name }) => name !== GENERATOR).map(({ name, title }) => ({
      name,
      title,
      ratio: costOf(BASELINE) / costOf(name),
    }))
    const file = resolve(import.meta.dirname, '../../docs/comparison.svg')
    await writeFile(file, await drawComparison(figures))
    say(`drew ${file}`)
    return [
      ...CONTENDERS.map(({ name }) => ({
        name: `${name}_pps`,
        value: Math.round(rateOf(name)),
        unit: 'packets/s' as const,
        n: ROUNDS,
      })),
      ...figures.map(({ name, ratio }) => ({
        name: `${name}_ratio`,
        value: Math.round(100 * ratio) / 100,
        unit: 'ratio' as const,
        n: ROUNDS,
      })),
    ]
  },
}

async function runInside(): Promise<Window[]> {
  await using bundles = await bundle([
    resolve(import.meta.dirname, 'inside/measure.ts'),
    resolve(import.meta.dirname, '../lab/apply-rows.ts'),
  ])
  const [measure, applyRows] = bundles.files
  const order: Order = {
    report: REPORT,
    rounds: ROUNDS,
    applyRows: applyRows!,
    relay: `${BPF}/build/relay.bpf.o`,
    balancer: `${BPF}/build/lb.bpf.o`,
  }
  const { report, console } = await runInGuest({
    kernel: '6.1',
    nsPerInstruction: NS_PER_INSTRUCTION,
    modules: MODULES,
    command: [process.execPath, measure!, JSON.stringify(order)],
    limit: LIMIT_MS,
  })
  const windows = report
    .split('\n')
    .slice(0, -1)
    .map((line): Window => JSON.parse(line))
  if (windows.length === ROUNDS * CONTENDERS.length && windows.every(({ rate }) => rate > 0)) return windows
  throw new Error(`${windows.length} windows were measured; the guest said:\n${console.slice(-4000)}`)
}
