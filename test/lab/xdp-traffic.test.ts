import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  countBackends,
  failuresOf,
  findUnfair,
  responsesOf,
  sharesOfWeights,
  startOf,
} from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf } from '../../reconciler/lab/topology.ts'
import { holdConnection, type Load, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { apply, DNS, makeRows, skip, TARGETS, upWithBackends, WEB, WEB6 } from './xdp-lab.ts'

const untilEnded = (load: Load, since: number, count: number) =>
  waitUntil({ what: `${count} requests`, deadline: 30_000 }, () => {
    const ended = load.events.filter(event => startOf(event) >= since)
    return ended.length >= count ? ended : null
  })

test('TCP and UDP of both families reach the backends by weight, in 4in4, 4in6 and 6in6 (rule 4)', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'spread')
  const weights = { 'backend-1': 100, 'backend-2': 50, 'backend-3': 0 }
  const hosts = hostsOf(lab.topology, 'backend').map(host => ({
    ...host,
    weight: weights[host.name as 'backend-1'],
  }))
  const ipv4 = hosts.map(({ addresses, weight }) => ({ address: addresses.ipv4, weight }))
  const ipv6 = hosts.map(({ addresses, weight }) => ({ address: addresses.ipv6, weight }))
  for (const { name } of hostsOf(lab.topology, 'lb')) {
    await apply(
      lab,
      name,
      await makeRows(name, {
        [WEB]: { backends: ipv4 },
        [WEB6]: { backends: ipv6 },
        [DNS]: { backends: ipv6 },
      }),
    )
  }
  const load = await startLoad(lab, { targets: TARGETS, interval: 4, timeout: 3_000 })
  await untilEnded(load, 0, 900)
  await load.stop()
  assert.deepEqual(failuresOf(load.events), [])
  for (const target of TARGETS) {
    const responses = responsesOf(load.events).filter(response => response.target === target)
    assert.ok(responses.length >= 200)
    assert.deepEqual(
      findUnfair(responses, sharesOfWeights(weights)),
      [],
      JSON.stringify([target, countBackends(responses)]),
    )
  }
})

test('a drained backend keeps its connection and gets no new one (rule 3)', { skip }, async t => {
  const lab = await upWithBackends(t, 'drain')
  const address = (name: string): string =>
    hostsOf(lab.topology, 'backend').find(host => host.name === name)!.addresses.ipv4
  const applyWeights = async (one: number, two: number): Promise<void> => {
    const backends = [
      { address: address('backend-1'), weight: one },
      { address: address('backend-2'), weight: two },
    ]
    for (const { name } of hostsOf(lab.topology, 'lb'))
      await apply(lab, name, await makeRows(name, { [WEB]: { backends } }))
  }
  await applyWeights(100, 100)
  const held = await holdConnection(lab, 'http://203.0.113.10/', 'backend-1')
  const load = await startLoad(lab, { targets: ['http://203.0.113.10/'], interval: 4, timeout: 3_000 })
  await untilEnded(load, 0, 200)
  await applyWeights(0, 100)

  const drained = Date.now()
  const later = await untilEnded(load, drained, 300)
  const echoes = held.events.filter(({ kind, at }) => kind === 'echo' && at > drained)
  assert.ok(held.alive())
  assert.ok(echoes.length > 0)
  await load.stop()
  await held.stop()
  assert.deepEqual(failuresOf(load.events), [])
  assert.deepEqual(findUnfair(responsesOf(later), { 'backend-2': 1 }), [])
})
