import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { DemoResult } from '../../schemas/lab.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'
const cli = resolve(import.meta.dirname, '../../reconciler/cli.ts')

const namespacesOf = async (pid: number): Promise<string[]> =>
  (await readdir('/run/netns').catch(() => [])).filter(name => name.startsWith(`bl-demo-${pid}-`))

test('the demo: pushes change where packets go, no request fails, a drained connection lives on', {
  skip,
}, async () => {
  const { stdout } = await runCommand(process.execPath, [cli, 'lab', 'demo', '--json'], {
    timeout: 110_000,
    okExitCodes: [0, 1],
  })
  const result = DemoResult.parse(JSON.parse(stdout))
  assert.equal(result.error, undefined)
  assert.ok(result.ok)
  assert.deepEqual(
    result.steps.filter(({ ok }) => !ok),
    [],
  )
  assert.equal(result.steps.length, 13)
  assert.notEqual(result.push_to_applied_ms, null)
  assert.notEqual(result.push_to_traffic_ms, null)
  assert.ok(result.requests > 2_000)
  assert.equal(result.failed_requests, 0)
  assert.ok(result.long_connection_survived)
})

test('a demo that is interrupted says so and leaves nothing behind', { skip }, async t => {
  const demo = await startProgram(process.execPath, [cli, 'lab', 'demo', '--json'], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  t.after(() => demo.stop())
  let [stdout, progress] = ['', '']
  demo.stdout?.on('data', chunk => {
    stdout += chunk
  })
  const begun = new Promise<void>(done => {
    demo.stderr?.on('data', chunk => {
      progress += chunk
      if (progress.includes('2. The first push')) done()
    })
  })
  await Promise.race([begun, demo.exited])
  const { exitCode } = await demo.stop(20_000)
  const result = DemoResult.parse(JSON.parse(stdout))
  assert.equal(exitCode, 1)
  assert.equal(result.ok, false)
  assert.equal(result.error, 'stopped by SIGTERM')
  assert.deepEqual(await namespacesOf(demo.pid), [])
  assert.equal(existsSync(`/run/ballast/labs/demo-${demo.pid}`), false)
})
