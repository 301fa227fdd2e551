import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCollector } from '../../reconciler/controller/collect-states.ts'
import { createStateStore } from '../../reconciler/queue/state-store.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { makeRedis } from '../queue/make-redis.ts'
import { fleetState } from '../queue/states.ts'

test('states are collected once no want, no report and none of the last three publications needs them', async t => {
  const redis = await makeRedis(t)
  const connection = redis.connect()
  const board = { wants: createWants(connection), states: createStateStore(connection) }
  const collector = createCollector(board)
  const publish = async (generation: number): Promise<Want> => {
    const stateDigest = await board.states.put(fleetState('lb-1', 3, { 1: generation }))
    const want: Want = {
      ...{ version: WANT_VERSION, node: 'lb-1', generation, revision: 'a'.repeat(40), stateDigest },
      ...{ drift: 'repair', at: 1 },
    }
    await board.wants.publish(want)
    collector.published([want])
    return want
  }
  const wants: Want[] = []
  for (let generation = 1; generation <= 5; generation++) wants.push(await publish(generation))
  const heldBy = async (): Promise<boolean[]> =>
    Promise.all(wants.map(async ({ stateDigest }) => (await board.states.get(stateDigest)) !== null))

  const lag = new Map([['lb-1', { want: wants[0]! } as never]])
  assert.ok((await collector.collect(lag)) > 0)
  assert.deepEqual(await heldBy(), [true, false, true, true, true], 'the first is what the node reports')
  assert.equal(await collector.collect(new Map()), 0, 'nothing was published since')

  const restarted = createCollector(board)
  assert.ok((await restarted.collect(new Map())) > 0)
  assert.deepEqual(await heldBy(), [false, false, false, false, true], 'a new process knows the wants alone')
})
