import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { createProbes } from '../../reconciler/controller/probes.ts'

test('a probe counts failures in a row, and begins again with an answer', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const [there, nobody] = [
    { address: '127.0.0.1', port },
    { address: '::1', port: 1 },
  ]
  const probes = createProbes()
  await probes.try([there, nobody])
  await probes.try([there, nobody])
  assert.deepEqual(probes.results(), [
    { name: `127.0.0.1:${port}`, failures: 0, error: null },
    { name: '[::1]:1', failures: 2, error: probes.results()[1]?.error },
  ])
  assert.match(probes.results()[1]!.error!, /^E[A-Z]+$/)

  server.close()
  await once(server, 'close')
  await probes.try([there])
  assert.deepEqual(probes.results(), [{ name: `127.0.0.1:${port}`, failures: 1, error: 'ECONNREFUSED' }])
  probes.forget()
  assert.deepEqual(probes.results(), [])
})
