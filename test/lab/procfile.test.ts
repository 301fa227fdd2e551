import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parseProcfile, runProcfile } from '../../reconciler/lab/run-procfile.ts'
import { hostsOf, TOPOLOGY } from '../../reconciler/lab/topology.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'

test('the Procfile runs Redis, the reconciler and one worker for each load balancer of the lab', async () => {
  const text = await readFile(new URL('../../Procfile', import.meta.url), 'utf8')
  const names = parseProcfile(text).map(({ name }) => name)
  assert.deepEqual(names, ['redis', 'reconciler', ...hostsOf(TOPOLOGY, 'lb').map(({ name }) => name)])
})

test('a line of a Procfile is a name and a command, and a comment is none', () => {
  const text = '# a: comment\n\nweb: run --port $PORT:80\nlb-1:  other\nno command here\n'
  assert.deepEqual(parseProcfile(text), [
    { name: 'web', command: 'run --port $PORT:80' },
    { name: 'lb-1', command: 'other' },
  ])
})

test('commands of a Procfile are started again when they end, and end in turn when asked to', async t => {
  const stop = new AbortController()
  t.after(() => stop.abort())
  const said: string[] = []
  const trap = (name: string): string =>
    `trap 'echo bye; exit 0' TERM; echo $GREETING; while :; do sleep 0.02; done # ${name}`
  const done = runProcfile(
    [
      { name: 'first', command: trap('first') },
      { name: 'second', command: trap('second') },
      { name: 'brief', command: 'echo tried; exit 3' },
    ],
    {
      cwd: '/',
      env: { ...process.env, GREETING: 'hello' },
      signal: stop.signal,
      say: (name, line) => said.push(`${name}: ${line}`),
    },
  )
  const tries = (): number => said.filter(line => line === 'brief: tried').length
  await waitUntil({ what: 'the second try', deadline: 20_000 }, () =>
    tries() === 2 && said.includes('second: hello') && said.includes('first: hello') ? true : null,
  )
  assert.ok(said.includes('brief: ended with 3; starting it again'))
  stop.abort()
  await done
  assert.deepEqual(
    said.filter(line => line.endsWith('bye')),
    ['second: bye', 'first: bye'],
  )
})
