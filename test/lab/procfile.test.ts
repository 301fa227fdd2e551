import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parseProcfile } from '../../reconciler/lab/start.ts'
import { hostsOf, TOPOLOGY } from '../../reconciler/lab/topology.ts'

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
