import { join } from 'node:path'
import { Command } from 'commander'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { type Adoption, adoptDrift } from '../drift/adopt-drift.ts'
import { describeDrift } from '../drift/describe-drift.ts'
import { driftPath } from '../drift/drift-path.ts'
import { recordsOf } from '../drift/fleet-drift.ts'
import { createEffectMeter } from '../drift/traffic-effect.ts'
import { proposeChange } from '../repo/propose-change.ts'
import { openWritableRemote } from '../repo/source.ts'
import { openBoard, REDIS_SETTINGS } from './open-board.ts'
import { authorOf } from './open-drift-log.ts'
import { FORGE_SETTINGS, openConfiguredForge } from './open-forge.ts'
import { accessTo, openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, renderDiagnostics } from './print.ts'

const SETTINGS = [
  ...SOURCE_SETTINGS,
  'path',
  'driftAuthor',
  'driftSigningKey',
  ...FORGE_SETTINGS,
  ...REDIS_SETTINGS,
] as const

interface AdoptOptions {
  readonly allNodes?: boolean
  readonly dryRun?: boolean
  readonly open?: boolean
  readonly json?: boolean
}

export const adoptCommand = (): Command =>
  addSettings(new Command('adopt'), SETTINGS)
    .description(
      'Make what was found on a node what is wanted: a change of manifests, on a branch to be merged.',
    )
    .argument('<drift...>', 'NODE DRIVER KEY, as ballast drift shows them, or a path on the branch of drift')
    .option('--all-nodes', 'though nodes and rows that have not drifted change with it')
    .option('--dry-run', 'print the change, and push nothing')
    .option('--open', 'open a pull request, too (needs --forge)')
    .option(
      '--json',
      'print one JSON value: {branch, files, also, diff, pull}; branch null: nothing was pushed',
    )
    .addHelpText('after', '\nExit codes: 0 pushed, or shown; 1 it cannot be adopted, and why.')
    .action(async (drift: string[], options: AdoptOptions, command: Command) => {
      await adopt(drift, options, command)
    })

async function adopt(drift: readonly string[], options: AdoptOptions, command: Command): Promise<void> {
  const settings = readSettings(command, SETTINGS, ['repo'])
  const forge = options.open === true ? openConfiguredForge(settings) : null
  if (options.open === true && forge === null) throw new CommandFailure('--open needs --forge.')
  const board = openBoard(settings, createCommandLog())
  const source = await openConfiguredSource(settings, createCommandLog())
  try {
    const open = [...(await board.reports.readAll()).values()]
      .flatMap(report => recordsOf(report, () => null, createEffectMeter()))
      .filter(({ healedAt }) => healedAt === null)
    const record = findRecord(open, drift)
    await source.pull()
    const into = await source.branch()
    const base = into === null ? null : await source.repository.resolve(`refs/heads/${into}`)
    if (into === null || base === null) throw new CommandFailure(`${source.address} has no branch to change.`)
    const { files, diagnostics } = await source.repository.snapshot(base, { path: settings.path })
    if (diagnostics.length > 0) throw new CommandFailure(renderDiagnostics(diagnostics))
    const adoption = adoptDrift({
      files: Array.from(files, ([path, { text }]) => ({ path, text })),
      path: settings.path,
      record,
      open,
      allNodes: options.allNodes === true,
    })
    if (adoption.kind === 'refused') throw new CommandFailure(`${nameOf(record)}: ${adoption.why}`)
    const branch = options.dryRun === true ? null : branchOf(record)
    const title = `Adopt: ${describeDrift(record)}`
    const { diff } = await proposeChange(
      {
        dir: join(settings.stateDir, 'adopt'),
        openRemote: place => openWritableRemote(accessTo(settings), place),
        author: authorOf(settings),
        signingKey: settings.driftSigningKey,
      },
      {
        into,
        base,
        files: adoption.edits,
        message: `${title}\n\n${explain(record, adoption)}`,
        at: Date.now(),
        branch,
      },
    )
    const pull =
      forge === null || branch === null
        ? null
        : (await forge.forge.openPull({ from: branch, into, title, body: explain(record, adoption) })).url
    const { edits, also } = adoption
    if (options.json === true) return void printJson({ branch, files: [...edits.keys()], also, diff, pull })
    const lines = also.map(row => `also changes ${row}\n`).join('')
    process.stdout.write(
      branch === null ? `${lines}${diff}` : `${lines}${branch}\n${pull === null ? '' : `${pull}\n`}`,
    )
  } finally {
    board.close()
    await source.close()
  }
}

const nameOf = ({ node, driver, key }: DriftRecord): string => `${node} ${driver} ${key}`

function findRecord(open: readonly DriftRecord[], drift: readonly string[]): DriftRecord {
  const asked = drift.join(' ')
  const found = open.find(record => nameOf(record) === asked || driftPath(record) === asked)
  if (found !== undefined) return found
  const known = open.map(nameOf).join('\n  ')
  throw new CommandFailure(
    `${asked} is no open drift.${known === '' ? ' There is none.' : ` There is:\n  ${known}`}`,
  )
}

function explain(record: DriftRecord, { also }: Extract<Adoption, { kind: 'edits' }>): string {
  const others = also.map(row => `\n- ${row}`).join('')
  const what = `What was found on ${record.node} (${record.driver} ${record.key}) is what is wanted, once this is merged.`
  return `${what}\n${others === '' ? '' : `\nIt also changes what has not drifted:\n${others}\n`}`
}

/** `adopt/lb-1-203.0.113.10-80-tcp`: a name that Git takes. */
const branchOf = ({ node, key }: DriftRecord): string =>
  `adopt/${node}-${key
    .replace(/^service\//, '')
    .replaceAll(/[^A-Za-z0-9.]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$|\.(?=\.)/g, '')
    .slice(0, 80)}`
