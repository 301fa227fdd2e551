import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { BenchOutput } from '../../schemas/bench.ts'

const SCRIPT = join(import.meta.dirname, 'run.ts')

test('a benchmark that is named is run, and prints one JSON value on stdout and nothing else', async () => {
  const { stdout } = await runCommand(process.execPath, [SCRIPT, '--json', 'ring_65537_100'], {
    timeout: 60_000,
  })
  const { results } = BenchOutput.parse(JSON.parse(stdout))
  const ring = results.find(({ name }) => name === 'ring_65537_100')
  assert.ok(ring !== undefined && ring.value > 0 && ring.unit === 'ms' && ring.n >= 100)
  assert.ok(results.every(({ name }) => name.startsWith('ring_')))
})

test('a name that there is not is told with those that there are', async () => {
  const { exitCode, stdout, stderr } = await runCommand(process.execPath, [SCRIPT, 'no_such'], {
    okExitCodes: [1],
    timeout: 30_000,
  })
  assert.equal(exitCode, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /no_such.*push_to_applied_p50.*redis_bytes_per_push/)
})
