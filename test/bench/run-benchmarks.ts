import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { BenchOutput, type BenchResult } from '../../schemas/bench.ts'
import type { Benchmark } from './benchmark.ts'

/** At most, in the unit of the result; of the others nothing is asked. */
export type Targets = Readonly<Record<string, number>>

/**
 * A program's `[--json] [NAME...]`: measures, all or what is named, and prints a table, or one JSON value
 * (schemas/bench.ts). Progress goes to stderr. Exit codes: 0 measured, 1 not.
 */
export async function runBenchmarks(benchmarks: readonly Benchmark[], targets: Targets): Promise<void> {
  const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false } },
  })
  const known = benchmarks.flatMap(({ names }) => names)
  const unknown = positionals.filter(name => !known.includes(name))
  if (unknown.length > 0) {
    console.error(`There is no benchmark ${unknown.join(', ')}. There are: ${known.join(', ')}`)
    process.exit(1)
  }
  const chosen = benchmarks.filter(
    ({ names }) => positionals.length === 0 || names.some(name => positionals.includes(name)),
  )
  const loadBefore = round(loadavg()[0] ?? 0)
  const results: BenchResult[] = []
  for (const benchmark of chosen) results.push(...(await measure(benchmark)))
  const output = BenchOutput.parse({
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cpus: availableParallelism(),
      memory: Math.round(totalmem() / 2 ** 20),
      kernel: release(),
      node: process.version,
      load: [loadBefore, round(loadavg()[0] ?? 0)],
    },
    results,
  })
  process.stdout.write(flags.json ? `${JSON.stringify(output)}\n` : render(output, targets))
}

async function measure(benchmark: Benchmark): Promise<BenchResult[]> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-bench-'))
  const say = (text: string): void => void process.stderr.write(`${benchmark.names[0]}: ${text}\n`)
  try {
    return await benchmark.run({ dir, say })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function render({ machine, results: rows }: BenchOutput, targets: Targets): string {
  const table = new Table({
    head: ['name', 'value', 'unit', 'n', 'at most'],
    colAligns: ['left', 'right', 'left', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  })
  for (const { name, value, unit, n } of rows) table.push([name, value, unit, n, targets[name] ?? ''])
  const { cpu, cpus: count, memory, kernel, node, load } = machine
  return `${table.toString()}\n${count} × ${cpu}, ${memory} MiB, Linux ${kernel}, Node ${node}, load ${load.join(' to ')}\n`
}
