import type { RedisConnection } from './connection.ts'
import { readHeartbeats } from './heartbeats.ts'
import { callChannel } from './keys.ts'

/**
 * Those of the nodes whose workers listen for calls now: who is killed, or loses its connection, is heard no more at once. Null
 * where Redis cannot say: each server of a Cluster knows of its own clients alone. Throws `REDIS_UNREACHABLE`.
 */
export async function readListening(
  connection: RedisConnection,
  nodes: readonly string[],
): Promise<ReadonlySet<string> | null> {
  if (nodes.length === 0) return new Set()
  return connection.call(async redis => {
    if (redis.isCluster) return null
    const counts = (await redis.pubsub('NUMSUB', ...nodes.map(callChannel))) as (string | number)[]
    return new Set(nodes.filter((_, at) => Number(counts[2 * at + 1]) > 0))
  })
}

/** Who listens, and the heartbeats of these nodes. Throws `REDIS_UNREACHABLE`. */
export async function readSigns(connection: RedisConnection, nodes: readonly string[]) {
  const [listening, heartbeats] = await Promise.all([
    readListening(connection, nodes),
    readHeartbeats(connection, nodes),
  ])
  return { listening, heartbeats }
}
