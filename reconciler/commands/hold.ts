import { Command, InvalidArgumentError } from 'commander'
import { type Hold, type HoldScope, isSameScope, nameScope, nextHolds } from '../../schemas/hold.ts'
import type { Revision } from '../../schemas/want.ts'
import { createEvaluator } from '../controller/evaluate.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { pokeAll } from '../queue/pokes.ts'
import type { Source } from '../repo/source.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { openConfiguredSource, resolveFetched, SOURCE_SETTINGS } from './open-source.ts'
import { nameOperator } from './operator.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { endPause } from './pause.ts'
import { createCommandLog, invalidLine, printJson, renderDiagnostics, shortRevision } from './print.ts'
import { renderHold } from './render-hold.ts'

const SETTINGS = ['stateDir', ...REDIS_SETTINGS] as const
const PIN_SETTINGS = [...SOURCE_SETTINGS, 'path'] as const

interface ScopeOptions {
  readonly node?: string
  readonly service?: string
  readonly json?: boolean
}

const addScope = (command: Command): Command =>
  command
    .option('--node <name>', 'this node; the fleet when neither is given')
    .option('--service <name>', 'this service, on all nodes')
    .option('--json', 'print one JSON value: {holds} (schemas/hold.ts)')

export const suspendCommand = (): Command =>
  addScope(addSettings(new Command('suspend'), SETTINGS))
    .description('Hold the fleet, a node or a service as it is, whatever is pushed, until resume.')
    .requiredOption('--reason <text>', 'why, for those who read the status', toReason)
    .addHelpText('after', '\nExit codes: 0 held, 1 not.')
    .action(async (options: ScopeOptions & { reason: string }, command: Command) => {
      await change(command, options, async (board, scope, holds) => [
        ...without(holds, scope),
        makeHold(scope, await revisionNow(board, scope), options.reason),
      ])
    })

export const pinCommand = (): Command =>
  addScope(addSettings(new Command('pin'), [...PIN_SETTINGS, ...REDIS_SETTINGS]))
    .description('Hold the fleet, a node or a service at a revision, whatever is pushed, until resume.')
    .argument('<revision>', 'a revision that is valid and, where that is asked for, signed')
    .requiredOption('--reason <text>', 'why, for those who read the status', toReason)
    .addHelpText(
      'after',
      '\nRun it where the reconciler runs, with the same --repo, --path and --state-dir.\n\nExit codes: 0 held, 1 there is no such revision, it is not valid, or has no such node or service.',
    )
    .action(async (name: string, options: ScopeOptions & { reason: string }, command: Command) => {
      const revision = await findPinned(command, name, scopeOf(options))
      await change(command, options, async (_board, scope, holds) => [
        ...without(holds, scope),
        makeHold(scope, revision, options.reason),
      ])
    })

export const resumeCommand = (): Command =>
  addScope(addSettings(new Command('resume'), SETTINGS))
    .description('Let the fleet, a node or a service follow the branch again; ends the pause of a node, too.')
    .addHelpText('after', '\nExit codes: 0 it is not held any more, 1 it was not.')
    .action(async (options: ScopeOptions, command: Command) => {
      await change(command, options, async (board, scope, holds) => {
        const left = without(holds, scope)
        const wasPaused = scope.kind === 'node' && (await endPause(board, scope.name))
        if (wasPaused && options.json !== true)
          process.stdout.write(`${nameScope(scope)} is not paused any more.\n`)
        if (left.length === holds.length && !wasPaused)
          throw new CommandFailure(`${nameScope(scope)} is not held.`)
        return left
      })
    })

type Change = (board: OpenBoard, scope: HoldScope, holds: readonly Hold[]) => Promise<Hold[]>

/** Writes what is held, and calls the reconciler, which keeps it on its disk too. */
async function change(command: Command, options: ScopeOptions, next: Change): Promise<void> {
  const scope = scopeOf(options)
  const board = openBoard(readSettings(command, SETTINGS), createCommandLog())
  try {
    const known = await board.rollouts.readHolds()
    const holds = await next(board, scope, known?.holds ?? [])
    await board.rollouts.writeHolds(nextHolds(holds, known, Date.now()), known)
    await pokeAll(board.connection)
    if (options.json === true) printJson({ holds })
    else
      process.stdout.write(`${holds.length === 0 ? 'Nothing is held.' : holds.map(renderHold).join('\n')}\n`)
  } finally {
    board.close()
  }
}

function scopeOf({ node, service }: ScopeOptions): HoldScope {
  if (node !== undefined && service !== undefined)
    throw new CommandFailure('Give --node or --service, not both.')
  if (node !== undefined) return { kind: 'node', name: node }
  return service === undefined ? { kind: 'fleet' } : { kind: 'service', name: service }
}

/** The fleet stays as it is, in the middle of a rollout too; a node at what it wants; a service at the last good revision. */
async function revisionNow(board: OpenBoard, scope: HoldScope): Promise<Revision | null> {
  if (scope.kind === 'fleet') return null
  const revision =
    scope.kind === 'node'
      ? (await board.wants.read(scope.name))?.revision
      : (await board.revisions.read())?.accepted
  if (revision == null)
    throw new CommandFailure(
      `Nobody knows at which revision ${nameScope(scope)} is: nothing is wanted of it yet.`,
    )
  return revision
}

/** A revision that can be what is held: otherwise everything would stay as it is, and look as if it were held there. */
async function findPinned(command: Command, name: string, scope: HoldScope): Promise<Revision> {
  const settings = readSettings(command, PIN_SETTINGS, ['repo'])
  const source = await openConfiguredSource(settings, createCommandLog())
  try {
    const revision = await resolveFetched(source, name)
    await checkPinned(source, settings.path, revision, scope)
    return revision
  } finally {
    await source.close()
  }
}

async function checkPinned(
  { repository }: Source,
  path: string,
  revision: Revision,
  scope: HoldScope,
): Promise<void> {
  const evaluate = createEvaluator(repository, path)
  const { fleet, manifests, diagnostics } = await evaluate(revision)
  if (fleet === null)
    throw new CommandFailure(`${invalidLine(shortRevision(revision))}\n${renderDiagnostics(diagnostics)}`)
  if (scope.kind === 'node' && !fleet.nodes.has(scope.name))
    throw new CommandFailure(`There is no node ${scope.name} in ${shortRevision(revision)}.`)
  if (scope.kind !== 'service') return
  const isThere = ({ kind, metadata }: Manifest): boolean =>
    kind === 'Service' && metadata.name === scope.name
  if (manifests.some(isThere)) return
  // One that is newer than the revision goes away as long as it is held.
  const accepted = await repository.accepted()
  if (accepted === null || !(await evaluate(accepted)).manifests.some(isThere))
    throw new CommandFailure(
      `There is no service ${scope.name} in ${shortRevision(revision)}, nor in what is accepted.`,
    )
}

function toReason(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('Others must be able to read why.')
  return text
}

const without = (holds: readonly Hold[], scope: HoldScope): Hold[] =>
  holds.filter(hold => !isSameScope(hold.scope, scope))

const makeHold = (scope: HoldScope, revision: Revision | null, reason: string): Hold => ({
  ...{ scope, revision, reason },
  by: nameOperator(),
  at: Date.now(),
})
