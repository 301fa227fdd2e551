import { Command } from 'commander'
import type { NodeTables, RowKey } from '../../schemas/node-state.ts'
import type { FleetPlan } from '../../schemas/plan.ts'
import { createEvaluator } from '../controller/evaluate.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import { planFleet } from '../plan/plan-fleet.ts'
import { renderPlan } from '../plan/render-plan.ts'
import { openRepository, type Repository } from '../repo/repository.ts'
import { openBoard } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, renderDiagnostics, useColor } from './print.ts'
import { readLiveFleet } from './read-live-fleet.ts'

const SETTINGS = ['repo', 'branch', 'path', 'stateDir', 'redis', 'redisPasswordFile'] as const

export const planCommand = (): Command =>
  addSettings(new Command('plan'), SETTINGS)
    .description('Say what a revision does to live traffic, before it does it.')
    .option('--from <revision>', 'compare with this revision instead of the live fleet')
    .option('--to <revision>', 'the revision to plan for; the head of the branch when left out')
    .option('--json', 'print the plan as one JSON value (schemas/plan.ts)')
    .addHelpText('after', '\nExit codes: 0 nothing to do, 2 changes, 1 the plan cannot be made.')
    .action(async (options: PlanOptions, command: Command) => {
      process.exitCode = await plan(options, command)
    })

interface PlanOptions {
  readonly from?: string
  readonly to?: string
  readonly json?: boolean
}

interface Side {
  readonly revision: string | null
  readonly nodes: ReadonlyMap<string, NodeTables>
  readonly names: Readonly<Record<RowKey, string>>
}

async function plan({ from, to, json }: PlanOptions, command: Command): Promise<number> {
  const settings = readSettings(command, SETTINGS, ['repo'])
  const repository = await openRepository({ dir: settings.repo })
  const after = await readRevision(repository, settings.path, to ?? settings.branch)
  const before =
    from === undefined ? await readLive(settings) : await readRevision(repository, settings.path, from)
  const made: FleetPlan = planFleet({
    base: before.revision,
    head: after.revision,
    before: before.nodes,
    after: after.nodes,
    names: { ...before.names, ...after.names },
  })
  if (json === true) printJson(made)
  else process.stdout.write(renderPlan(made, { color: useColor(process.stdout) }))
  const { create, update, delete: gone } = made.totals
  return create + update + gone + made.nodes.length > 0 ? 2 : 0
}

async function readRevision(repository: Repository, path: string, name: string): Promise<Side> {
  const revision = await repository.resolve(name)
  if (revision === null) throw new CommandFailure(`${name} is no revision of ${repository.dir}.`)
  const { fleet, diagnostics } = await createEvaluator(repository, path)(revision)
  if (fleet === null) {
    throw new CommandFailure(
      `${name} (${revision.slice(0, 12)}) is not valid:\n${renderDiagnostics(diagnostics)}`,
    )
  }
  return { revision, nodes: tablesOf(fleet), names: namesOf(fleet) }
}

async function readLive(settings: Parameters<typeof openBoard>[0]): Promise<Side> {
  const board = openBoard(settings, createCommandLog())
  try {
    return { revision: null, nodes: await readLiveFleet(board), names: {} }
  } finally {
    board.close()
  }
}

const tablesOf = (fleet: DesiredFleet): Map<string, NodeTables> =>
  new Map([...fleet.nodes].map(([node, { state }]) => [node, state.tables]))

const namesOf = (fleet: DesiredFleet): Record<RowKey, string> =>
  Object.assign({}, ...[...fleet.nodes.values()].map(({ names }) => names))
