import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'

const SCRIPT = `
  const { watchNetwork } = await import(${JSON.stringify(new URL('../../reconciler/process/watch-network.ts', import.meta.url).href)})
  const ending = new AbortController()
  const timer = setInterval(() => console.log('beat'), 20)
  for await (const line of watchNetwork(['address'], ending.signal)) {
    if (line.includes('192.0.2.7')) { clearInterval(timer); ending.abort() }
  }
  console.log('ended')
`

const skip = process.geteuid?.() === 0 ? false : 'needs root for a network namespace'

test('a change of an address is told, and an end is an end', { skip }, async t => {
  const namespace = `blw-${process.pid}`
  await runCommand('ip', ['netns', 'add', namespace])
  t.after(() => runCommand('ip', ['netns', 'del', namespace]))
  const watcher = await startProgram(
    'nsenter',
    [`--net=/run/netns/${namespace}`, process.execPath, '--input-type=module', '--eval', SCRIPT],
    { stdout: 'pipe', stderr: 'inherit', cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  )
  t.after(() => watcher.stop())
  let said = ''
  let added = false
  for await (const text of watcher.stdout!) {
    said += text
    if (added) continue
    added = true
    setTimeout(
      () => void runCommand('ip', ['-n', namespace, 'addr', 'add', '192.0.2.7/32', 'dev', 'lo']),
      500,
    )
  }
  assert.match(said, /ended\n$/)
  assert.deepEqual(await watcher.exited, { exitCode: 0, signal: null })
})

test('whoever watches, and is killed, leaves nobody behind, though nothing changes', { skip }, async t => {
  const namespace = `blk-${process.pid}`
  await runCommand('ip', ['netns', 'add', namespace])
  t.after(() => runCommand('ip', ['netns', 'del', namespace]))
  const watcher = await startProgram(
    'nsenter',
    [`--net=/run/netns/${namespace}`, process.execPath, '--input-type=module', '--eval', SCRIPT],
    { stderr: 'inherit', cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  )
  t.after(() => watcher.stop())
  const inside = async (): Promise<string[]> =>
    (await runCommand('ip', ['netns', 'pids', namespace])).stdout.split('\n').filter(pid => pid !== '')
  const monitor = await waitUntil({ what: 'ip monitor', deadline: 20_000 }, async () => {
    for (const pid of await inside()) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (command.startsWith('ip\0')) return pid
    }
    return null
  })
  assert.ok((await inside()).includes(monitor))
  process.kill(watcher.pid, 'SIGKILL')
  await waitUntil({ what: 'its end', deadline: 20_000 }, async () => (await inside()).length === 0 || null)
})
