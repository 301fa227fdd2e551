#!/usr/bin/env node
import { Command } from 'commander'
import { BallastError } from '../schemas/ballast-error.ts'
import { labCommand } from './commands/lab.ts'
import { CommandFailure } from './commands/outcome.ts'
import { planCommand } from './commands/plan.ts'
import { reconcilerCommand } from './commands/reconciler.ts'
import { redisCommand } from './commands/redis.ts'
import { statusCommand } from './commands/status.ts'
import { validateCommand } from './commands/validate.ts'
import { VERSION } from './commands/version.ts'
import { workerCommand } from './commands/worker.ts'

const program = new Command('ballast')
  .description('GitOps for layer-4 load balancers.')
  .version(VERSION)
  .showHelpAfterError('(ballast --help lists the commands, ballast COMMAND --help their flags)')
  .addCommand(validateCommand())
  .addCommand(planCommand())
  .addCommand(statusCommand())
  .addCommand(reconcilerCommand())
  .addCommand(workerCommand())
  .addCommand(redisCommand())
  .addCommand(labCommand())

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = 1
  process.stderr.write(`${describe(error)}\n`)
}

/** Faults of input and of I/O in words; anything else is a fault of ours and shows where. */
function describe(error: unknown): string {
  if (error instanceof CommandFailure) return error.message
  if (error instanceof BallastError) return `${error.code}: ${error.message}. ${error.hint}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
