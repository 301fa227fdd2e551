import assert from 'node:assert/strict'
import { cpSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { makePlan } from '../../reconciler/commands/make-plan.ts'
import type { ObservedFleet } from '../../reconciler/plan/compare-live.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'
import type { Source } from '../../reconciler/repo/source.ts'
import { NODE_COUNTERS_VERSION, type NodeCounters } from '../../schemas/node-counters.ts'
import { makeRepository } from '../repo/make-repository.ts'

const EXAMPLE = resolve(import.meta.dirname, '../../manifests')

test('a plan against the live fleet is refused by the guard of flows that the reconciler would refuse it by', async t => {
  const repository = makeRepository(t)
  cpSync(EXAMPLE, repository.dir, { recursive: true })
  const read = (file: string): string => readFileSync(join(repository.dir, file), 'utf8')
  repository.write('fleet.yaml', `${read('fleet.yaml')}  guards: { flows: 0.3 }\n`)
  const from = repository.commit()
  repository.write('pools/web.yaml', read('pools/web.yaml').replace(/ *- address: 10\.80\.13\.1\n.*\n/, ''))
  const to = repository.commit()
  const opened = await openRepository({ dir: repository.dir })
  const source = { address: repository.dir, repository: opened, branch: async () => 'main' } as Source

  const backend = (address: string, connections: number) => ({
    ...{ address, packets: 0, bytes: 0, newFlows: 0, connections },
  })
  const counted = (node: string): NodeCounters => ({
    ...{ version: NODE_COUNTERS_VERSION, node, at: Date.now(), liveFlows: 100 },
    services: { 'service/203.0.113.10:80/tcp': [backend('10.80.11.1', 10), backend('10.80.13.1', 90)] },
  })
  const refusals = async (...nodes: string[]) => {
    const counters = new Map(nodes.map(node => [node, counted(node)]))
    const observed: ObservedFleet = {
      ...{ at: Date.now(), nodes: new Map(), revision: null, lastApplyMs: null },
      traffic: { counters, records: new Map() },
    }
    const { plan } = await makePlan({ source, path: '', from, to, readObserved: async () => observed })
    return plan.rollout!.refusals.map(({ rule, message }) => `${rule}: ${message}`)
  }
  // By the ring it had a fifth of them.
  assert.deepEqual(await refusals(), [])
  assert.match((await refusals('lb-1')).join(), /^guard-flows: web: 90 % of its flows/)
  assert.deepEqual(await refusals('not-of-this-fleet'), [])
})
