#!/usr/bin/env node
import { Command, type Option } from 'commander'
import { BallastError } from '../schemas/ballast-error.ts'
import { SETTINGS_HEADING } from './commands/options.ts'
import { CommandFailure } from './commands/outcome.ts'
import { VERSION } from './commands/version.ts'

/** Loaded when asked for: `status` should not wait for what the reconciler needs. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  validate: async () => (await import('./commands/validate.ts')).validateCommand(),
  plan: async () => (await import('./commands/plan.ts')).planCommand(),
  review: async () => (await import('./commands/review.ts')).reviewCommand(),
  explain: async () => (await import('./commands/explain.ts')).explainCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  apply: async () => (await import('./commands/apply.ts')).applyCommand(),
  accept: async () => (await import('./commands/accept.ts')).acceptCommand(),
  suspend: async () => (await import('./commands/hold.ts')).suspendCommand(),
  resume: async () => (await import('./commands/hold.ts')).resumeCommand(),
  pin: async () => (await import('./commands/hold.ts')).pinCommand(),
  drift: async () => (await import('./commands/drift.ts')).driftCommand(),
  adopt: async () => (await import('./commands/adopt.ts')).adoptCommand(),
  pause: async () => (await import('./commands/pause.ts')).pauseCommand(),
  alerts: async () => (await import('./commands/alerts.ts')).alertsCommand(),
  reconciler: async () => (await import('./commands/reconciler.ts')).reconcilerCommand(),
  worker: async () => (await import('./commands/worker.ts')).workerCommand(),
  trace: async () => (await import('./commands/trace.ts')).traceCommand(),
  watchdog: async () => (await import('./commands/watchdog.ts')).watchdogCommand(),
  decap: async () => (await import('./commands/decap.ts')).decapCommand(),
  redis: async () => (await import('./commands/redis.ts')).redisCommand(),
  lab: async () => (await import('./commands/lab.ts')).labCommand(),
}

const OUTPUTS = [process.stdout, process.stderr]
// Who reads no further, `head` for instance, has what it wants.
for (const stream of OUTPUTS)
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

const program = new Command('ballast')
  .description('GitOps for layer-4 load balancers.')
  .version(VERSION)
  .showHelpAfterError('(ballast --help lists the commands, ballast COMMAND --help their flags)')

const asked = commands[process.argv[2] ?? '']
const loaded = await Promise.all(
  (asked === undefined ? Object.values(commands) : [asked]).map(load => load()),
)
for (const command of loaded) program.addCommand(command)
for (const command of [program, ...loaded.flatMap(each => [each, ...each.commands])]) putSettingsLast(command)

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = 1
  process.stderr.write(`${describe(error)}\n`)
}
// To a pipe that is full the rest is still to be written.
for (const stream of OUTPUTS) await new Promise<void>(done => void stream.write('', () => done()))
// What is still open, a connection that looks for a Redis that is away for instance, must not keep the process alive.
process.exit()

/** What a command alone takes is what its reader looks for. */
function putSettingsLast({ options }: Command): void {
  const isSetting = ({ helpGroupHeading }: Option): number => Number(helpGroupHeading === SETTINGS_HEADING)
  ;(options as Option[]).sort((a, b) => isSetting(a) - isSetting(b))
}

/** Faults of input and of I/O in words; anything else is a fault of ours and shows where. */
function describe(error: unknown): string {
  if (error instanceof CommandFailure) return error.message
  if (error instanceof BallastError) return `${error.code}: ${error.message}. ${error.hint}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
