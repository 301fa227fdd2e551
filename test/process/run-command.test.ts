import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'

const node = process.execPath

suite('running a command', () => {
  test('gives its output as it came, and passes arguments untouched by any shell', async () => {
    const args = ['$HOME', 'a b', '; false', "'", '']
    const { stdout, exitCode } = await runCommand(node, [
      '-p',
      'JSON.stringify(process.argv.slice(1))',
      ...args,
    ])
    assert.equal(exitCode, 0)
    assert.equal(stdout, `${JSON.stringify(args)}\n`)
  })

  test('gives the program its input, and an empty one when there is none', async () => {
    assert.equal((await runCommand('cat', [], { input: 'grüße' })).stdout, 'grüße')
    assert.equal((await runCommand('cat', [])).stdout, '')
  })

  test('fails with the code, the end of what the program said, and the command', async () => {
    await assert.rejects(runCommand(node, ['-e', 'console.error("no such table"); process.exit(3)']), {
      code: 'COMMAND_FAILED',
      message: /ended with 3: no such table/,
      hint: /The command was: /,
      retryable: false,
    })
  })

  test('takes an exit code that the caller knows as an answer', async () => {
    assert.equal((await runCommand('false', [], { okExitCodes: [0, 1] })).exitCode, 1)
  })

  test('names a program that is not installed', async () => {
    await assert.rejects(runCommand('ballast-no-such-program', []), { code: 'COMMAND_NOT_FOUND' })
    await assert.rejects(startProgram('ballast-no-such-program', []), { code: 'COMMAND_NOT_FOUND' })
  })

  test('ends a program at its time limit, and says that trying again may help', async () => {
    await assert.rejects(runCommand('sleep', ['60'], { timeout: 50 }), {
      code: 'COMMAND_TIMED_OUT',
      retryable: true,
    })
  })

  test('ends a program when its signal is aborted', async () => {
    const abort = new AbortController()
    const running = runCommand('sleep', ['60'], { signal: abort.signal })
    setTimeout(() => abort.abort(), 50)
    await assert.rejects(running, { code: 'COMMAND_ABORTED' })
  })

  test('refuses more output than was allowed', async () => {
    await assert.rejects(runCommand('yes', [], { maxBytes: 1000 }), { code: 'COMMAND_OUTPUT_TOO_LARGE' })
  })

  test('gives the program the environment asked for and nothing else', async () => {
    const { stdout } = await runCommand('/usr/bin/env', [], { env: { ONLY: 'this' } })
    assert.equal(stdout, 'ONLY=this\n')
  })
})

suite('a program that goes on running', () => {
  test('can be spoken to, and ends when stopped', async () => {
    const program = await startProgram('cat', [], { stdin: 'pipe', stdout: 'pipe' })
    program.stdin?.write('hello\n')
    const heard = await new Promise(resolve => program.stdout?.once('data', data => resolve(String(data))))
    assert.equal(heard, 'hello\n')
    assert.deepEqual(await program.stop(), { exitCode: null, signal: 'SIGTERM' })
    assert.deepEqual(
      await program.stop(),
      { exitCode: null, signal: 'SIGTERM' },
      'stopping twice is harmless',
    )
  })

  test('that does not heed the polite signal is killed', async () => {
    const script = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)'
    const program = await startProgram(node, ['-e', script], { stdout: 'pipe' })
    await new Promise(resolve => program.stdout?.once('data', resolve))
    assert.deepEqual(await program.stop(50), { exitCode: null, signal: 'SIGKILL' })
  })
})
