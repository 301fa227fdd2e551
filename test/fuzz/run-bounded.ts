import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { runCommand } from '../../reconciler/process/run-command.ts'

/** Peak of the resident memory that a target may have, MiB. */
const MEMORY_LIMIT = 1024
/** Ends what hangs: far above what any target takes. */
const TIME_LIMIT_MS = 100_000

const Summary = z.strictObject({ runs: z.int().min(1), refused: z.int(), peakMiB: z.number() })
type Summary = z.infer<typeof Summary>

/**
 * Runs a target in a process of its own, so that what it does to memory is its alone, and a crash is an exit
 * code. BALLAST_FUZZ_RUNS: how many inputs are drawn; BALLAST_FUZZ_SEED repeats those of a failure.
 */
export async function runBounded(target: string): Promise<Summary> {
  const file = join(import.meta.dirname, 'targets', `${target}.ts`)
  const { stdout } = await runCommand(process.execPath, ['--max-old-space-size=900', file], {
    timeout: TIME_LIMIT_MS * Math.max(1, 4 / availableParallelism()),
  })
  const summary = Summary.parse(JSON.parse(stdout.trim().split('\n').at(-1)!))
  assert.ok(summary.peakMiB < MEMORY_LIMIT, `${target} took ${summary.peakMiB} MiB`)
  return summary
}

/** What a target draws with. */
export const fuzzOptions = (runs: number) => ({
  numRuns: Number(process.env.BALLAST_FUZZ_RUNS ?? runs),
  ...(process.env.BALLAST_FUZZ_SEED !== undefined && { seed: Number(process.env.BALLAST_FUZZ_SEED) }),
})

/** The last line of a target. */
export function printSummary(counts: { runs: number; refused: number }): void {
  const peakMiB = process.resourceUsage().maxRSS / 1024
  process.stdout.write(`${JSON.stringify({ ...counts, peakMiB })}\n`)
}
