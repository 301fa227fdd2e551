import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { inspect } from 'node:util'

/**
 * `node test/run.ts [glob...]`: runs test files, says what failed, and ends with the line
 * `N passed, N failed, N skipped`. Exit code 1 when a test failed, or when none passed.
 */

/** Of a test, and of a file. */
const TEST_LIMIT_MS = 600_000
/** Ends a file that does not end by itself, which is a failure. */
const GROUP_LIMIT_MS = 3_600_000

/**
 * Tests that share the kernel and measure nothing well when the CPUs are taken: one file after another. Two at a time
 * need both of two CPUs wholly, and what has a time limit or counts lost requests then fails now and then.
 */
const KERNEL = /^test\/(lab|bpf|drivers|faults|release|system)\//

interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** What failed and why, to be said once more at the end, where a long output is looked at first. */
const failures: string[] = []
const SHOWN = 1000

async function runGroup(files: readonly string[], concurrency: number): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 }
  if (files.length === 0) return counts
  const signal = AbortSignal.timeout(GROUP_LIMIT_MS)
  const events = run({ cwd: root, files, concurrency, timeout: TEST_LIMIT_MS, signal })
  events.on('test:pass', ({ skip, details }) => {
    if (details.type === 'suite' && skip !== undefined) counts.skipped += 1
  })
  events.on('test:fail', ({ name, file, details: { error } }) => {
    const text = inspect(error.cause ?? error, { depth: 8 }).slice(0, SHOWN)
    if (!/^\S*\d+ subtests? failed/.test(error.message))
      failures.push(`✖ ${name} (${relative(root, file ?? root)})\n${text}`)
  })
  events.on('test:summary', ({ file, success, counts: { tests, passed, skipped, todo } }) => {
    if (file !== undefined) return
    counts.passed += passed
    counts.skipped += skipped + todo
    const failed = tests - passed - skipped - todo
    // A suite whose set-up failed has no test that failed, nor any that ran.
    counts.failed += failed === 0 && !success ? 1 : failed
  })
  for await (const text of events.compose(new spec())) process.stdout.write(text)
  return counts
}

// Not on the path after Debian's `su`, nor for most users.
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`

const root = resolve(import.meta.dirname, '..')
// Tests start many processes, and most of what these do is to compile the same files.
process.env.NODE_COMPILE_CACHE ??= resolve(root, 'node_modules/.cache/node-compile')
const patterns = process.argv.length > 2 ? process.argv.slice(2) : ['test/**/*.test.ts']
const files = globSync(patterns, { cwd: root })
  .map(file => relative(root, resolve(root, file)))
  .sort()
const groups = [
  await runGroup(
    files.filter(file => !KERNEL.test(file)),
    availableParallelism(),
  ),
  await runGroup(
    files.filter(file => KERNEL.test(file)),
    1,
  ),
]
const total = (key: keyof Counts): number => groups.reduce((sum, counts) => sum + counts[key], 0)
process.exitCode = total('failed') > 0 || total('passed') === 0 ? 1 : 0
for (const failure of failures) console.log(failure)
console.log(`${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`)
