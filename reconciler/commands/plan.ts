import { Command } from 'commander'
import type { NodeTables, RowKey } from '../../schemas/node-state.ts'
import type { FleetPlan } from '../../schemas/plan.ts'
import { createEvaluator } from '../controller/evaluate.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import { planFleet } from '../plan/plan-fleet.ts'
import { renderPlan } from '../plan/render-plan.ts'
import type { Repository } from '../repo/repository.ts'
import type { Source } from '../repo/source.ts'
import { openBoard, REDIS_SETTINGS } from './open-board.ts'
import { openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, renderDiagnostics, useColor } from './print.ts'
import { readLiveFleet } from './read-live-fleet.ts'

const SETTINGS = [...SOURCE_SETTINGS, 'path', ...REDIS_SETTINGS] as const

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
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly json?: boolean | undefined
}

interface Side {
  readonly revision: string | null
  readonly nodes: ReadonlyMap<string, NodeTables>
  readonly names: Readonly<Record<RowKey, string>>
}

async function plan({ from, to, json }: PlanOptions, command: Command): Promise<number> {
  const settings = readSettings(command, SETTINGS, ['repo'])
  const source = await openConfiguredSource(settings, createCommandLog())
  try {
    await source.pull()
    const made = await makePlan({
      source,
      path: settings.path,
      from,
      to,
      readLive: () => readLive(settings),
    })
    if (json === true) printJson(made)
    else process.stdout.write(renderPlan(made, { color: useColor(process.stdout) }))
    const { create, update, delete: gone } = made.totals
    return create + update + gone + made.nodes.length > 0 ? 2 : 0
  } finally {
    await source.close()
  }
}

export interface PlanRequest {
  readonly source: Source
  /** The folder of the repository that holds the manifests. */
  readonly path: string
  /** Undefined: the live fleet. */
  readonly from: string | undefined
  /** Undefined: the head of the branch that is followed. */
  readonly to: string | undefined
  readonly readLive: () => Promise<ReadonlyMap<string, NodeTables>>
}

/** Throws `CommandFailure` for a revision that is none, or is not valid. */
export async function makePlan({ source, path, from, to, readLive }: PlanRequest): Promise<FleetPlan> {
  const { repository, address } = source
  const head = to ?? (await source.branch())
  if (head === null) throw new CommandFailure(`${address} names no branch; say which with --branch.`)
  const after = await readRevision(repository, path, head)
  const before =
    from === undefined
      ? { revision: null, nodes: await readLive(), names: {} }
      : await readRevision(repository, path, from)
  return planFleet({
    base: before.revision,
    head: after.revision,
    before: before.nodes,
    after: after.nodes,
    names: { ...before.names, ...after.names },
  })
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

async function readLive(settings: Parameters<typeof openBoard>[0]): Promise<Map<string, NodeTables>> {
  const board = openBoard(settings, createCommandLog())
  try {
    return await readLiveFleet(board)
  } finally {
    board.close()
  }
}

const tablesOf = (fleet: DesiredFleet): Map<string, NodeTables> =>
  new Map([...fleet.nodes].map(([node, { state }]) => [node, state.tables]))

const namesOf = (fleet: DesiredFleet): Record<RowKey, string> =>
  Object.assign({}, ...[...fleet.nodes.values()].map(({ names }) => names))
