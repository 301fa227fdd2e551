import type { RedisConnection } from './connection.ts'
import { POKE_CHANNEL } from './keys.ts'

/** How reconcilers tell each other that somebody said that the branch moved: a webhook may reach one that does not lead. */
export interface Pokes {
  /** Tells all others; when Redis is away nobody, and their polls go on. */
  tell(): void
  close(): void
}

/** Tells every reconciler to look. Throws as `call` does. */
export async function pokeAll(connection: RedisConnection): Promise<void> {
  await connection.call(client => client.publish(POKE_CHANNEL, ''))
}

/** Calls back whenever another tells. What is told while Redis is away is lost. */
export function createPokes(connection: RedisConnection, onPoke: () => void): Pokes {
  const redis = connection.openBlocking(true)
  redis.on('message', onPoke)
  redis.on('ready', () => {
    redis
      .subscribe(POKE_CHANNEL)
      .catch((error: unknown) => connection.log.debug({ err: error }, 'pokes are not heard; polls go on'))
  })
  return {
    tell() {
      pokeAll(connection).catch((error: unknown) =>
        connection.log.debug({ err: error }, 'a poke could not be told'),
      )
    },
    close: () => redis.disconnect(),
  }
}
