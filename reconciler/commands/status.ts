import { Command } from 'commander'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { makeFleetStatus } from '../drift/make-fleet-status.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { createCommandLog, printJson, useColor } from './print.ts'
import { renderStatus } from './render-status.ts'

const SETTINGS = ['stateDir', ...REDIS_SETTINGS] as const

export const statusCommand = (): Command =>
  addSettings(new Command('status'), SETTINGS)
    .description('Show what the nodes want, what they hold, and what differs.')
    .option('--node <name>', 'this node alone')
    .option('--json', 'print one JSON value (schemas/fleet-status.ts)')
    .addHelpText(
      'after',
      '\nExit codes: 0 all as Git wants, 2 something differs, 1 the status cannot be read.',
    )
    .action(async ({ node, json }: { node?: string; json?: boolean }, command: Command) => {
      const status = await read(command, node)
      if (json === true) printJson(status)
      else process.stdout.write(renderStatus(status, { color: useColor(process.stdout) }))
      process.exitCode = status.inSync ? 0 : 2
    })

async function read(command: Command, node: string | undefined): Promise<FleetStatus> {
  const board = openBoard(readSettings(command, SETTINGS), createCommandLog())
  try {
    const status = await readStatus(board)
    if (node === undefined) return status
    const nodes = status.nodes.filter(({ name }) => name === node)
    const ofNode = status.fleetDrift?.filter(each => each.node === node) ?? []
    const { fleetDrift: _, ...rest } = status
    return {
      ...rest,
      nodes,
      ...(ofNode.length > 0 && { fleetDrift: ofNode }),
      inSync: nodes.length > 0 && nodes.every(({ state }) => state === 'in-sync'),
    }
  } finally {
    board.close()
  }
}

export async function readStatus(board: OpenBoard): Promise<FleetStatus> {
  const { revisions, wants, reports, rollouts, fleetDrift } = board
  const [revision, wanted, reported, rollout, held, ofFleet] = await Promise.all([
    revisions.read(),
    wants.readAll(),
    reports.readAll(),
    rollouts.read(),
    rollouts.readHolds(),
    fleetDrift.read(),
  ])
  return makeFleetStatus({
    ...{ revisions: revision, wants: wanted, reports: reported, rollout, holds: held?.holds ?? [] },
    fleetDrift: ofFleet.drift?.records ?? [],
    now: Date.now(),
  })
}
