import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { hostsOf } from '../../reconciler/lab/topology.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { apply, DNS, makeRows, skip, upWithBackends } from './xdp-lab.ts'

const ASKED = 30

test('datagrams in fragments reach the backends whole, through whichever load balancer', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'fragments')
  const backends = hostsOf(lab.topology, 'backend').map(({ addresses }) => ({
    address: addresses.ipv4,
    weight: 100,
  }))
  const applyAll = () =>
    Promise.all(
      hostsOf(lab.topology, 'lb').map(async ({ name }) =>
        apply(lab, name, await makeRows(name, { [DNS]: { backends } })),
      ),
    )
  await applyAll()
  const ask = [process.execPath, resolve(import.meta.dirname, 'large-datagram.ts')] as const
  const { stdout } = await runCommand(...lab.on('client', [...ask, '203.0.113.53', '53', String(ASKED)]), {
    timeout: 60_000,
  })
  const answers = new Map(Object.entries(Object.groupBy(JSON.parse(stdout) as string[], name => name)))
  assert.equal(answers.size, 3, `all of the backends: ${[...answers.keys()].join(', ')}`)
  const counted = await applyAll()
  const sum = (reason: string): number => counted.reduce((total, each) => total + (each[reason] ?? 0), 0)
  assert.deepEqual([sum('forwarded_fragment'), sum('drop_fragment_unknown')], [2 * ASKED, 0])
})
