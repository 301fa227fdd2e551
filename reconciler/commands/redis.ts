import { Command } from 'commander'
import { runEmbeddedRedis } from '../queue/embedded-redis.ts'
import { embeddedRedisDir } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { redisAclCommand } from './redis-acl.ts'

export const redisCommand = (): Command =>
  addSettings(new Command('redis'), ['stateDir'])
    .description('Run the redis-server that is used when no address is configured, in the foreground.')
    .addCommand(redisAclCommand())
    .addHelpText('after', '\nExit codes: those of redis-server.')
    .action(async (_options, command: Command) => {
      const { stateDir } = readSettings(command, ['stateDir'])
      process.exitCode = await runEmbeddedRedis({ dir: embeddedRedisDir(stateDir) })
    })
