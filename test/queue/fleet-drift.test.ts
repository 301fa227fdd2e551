import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../reconciler/log/log.ts'
import { createFleetDriftBoard } from '../../reconciler/queue/fleet-drift.ts'
import { FLEET_DRIFT_KEY } from '../../reconciler/queue/keys.ts'
import { FLEET_DRIFT_VERSION } from '../../schemas/fleet-drift.ts'
import { makeRedis } from './make-redis.ts'

test('the drift of the fleet is read as it was written; of another version it is left out, and the log says so', async t => {
  const redis = await makeRedis(t)
  const said: string[] = []
  const log = createLog({ level: 'warn', format: 'json', destination: { write: line => said.push(line) } })
  const connection = redis.connect({ log })
  const board = createFleetDriftBoard(connection)
  assert.deepEqual(await board.read(), { drift: null, isLed: false })
  const drift = { version: FLEET_DRIFT_VERSION, at: 7, records: [] } as const
  await connection.call(client => client.set(FLEET_DRIFT_KEY, JSON.stringify(drift)))
  assert.deepEqual(await board.read(), { drift, isLed: false })
  assert.deepEqual(said, [])
  await connection.call(client => client.set(FLEET_DRIFT_KEY, JSON.stringify({ ...drift, version: 99 })))
  assert.deepEqual(await board.read(), { drift: null, isLed: false })
  assert.match(said.join(), /QUEUE_VALUE_UNREADABLE/)
})
