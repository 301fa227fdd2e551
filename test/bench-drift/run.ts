import { runBenchmarks } from '../bench/run-benchmarks.ts'
import { idleBenchmarks } from './idle.ts'
import { injectionBenchmark } from './injections.ts'

/** `npm run bench:drift`; `--injections N` for fewer than 1,000, `--seed N` for others. docs/drift.md has the figures. Needs root. */
const injections = takeNumber('--injections', 1_000)
const seed = takeNumber('--seed', 1)
await runBenchmarks([injectionBenchmark(injections, seed), ...idleBenchmarks], {
  detect_p99: 3_000,
  idle_cpu_percent: 1,
  idle_cpu_percent_1000_100: 3,
})

/** Takes a flag from the command line, which others read after this. */
function takeNumber(flag: string, otherwise: number): number {
  const at = process.argv.indexOf(flag)
  if (at < 0) return otherwise
  const [, text] = process.argv.splice(at, 2)
  if (!/^[1-9]\d{0,6}$/.test(text ?? '')) {
    console.error(`${flag} takes a number from 1 on, and not ${text ?? 'nothing'}.`)
    process.exit(1)
  }
  return Number(text)
}
