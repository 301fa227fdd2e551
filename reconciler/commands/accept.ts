import { Command } from 'commander'
import { openConfiguredSource, resolveFetched, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { createCommandLog, printJson } from './print.ts'

export const acceptCommand = (): Command =>
  addSettings(new Command('accept'), SOURCE_SETTINGS)
    .description(
      'Take a revision as it is, though the branch was rewritten or most of it is gone. It must be valid, and signed, all the same.',
    )
    .argument('<revision>', 'the head that was refused')
    .option('--json', 'print one JSON value: {accepted, subject, author}')
    .addHelpText(
      'after',
      '\nIt is for this revision alone, and is followed when it is the head of the branch.\nRun it where the reconciler runs, with the same --repo and --state-dir.\n\nExit codes: 0 recorded, 1 there is no such revision.',
    )
    .action(async (name: string, { json }: { json?: boolean }, command: Command) => {
      await accept(name, json === true, command)
    })

async function accept(name: string, json: boolean, command: Command): Promise<void> {
  const source = await openConfiguredSource(
    readSettings(command, SOURCE_SETTINGS, ['repo']),
    createCommandLog(),
  )
  try {
    const revision = await resolveFetched(source, name)
    await source.repository.allow(revision)
    const { subject, author } = await source.repository.describe(revision)
    if (json) printJson({ accepted: revision, subject, author })
    else process.stdout.write(`${revision.slice(0, 12)} (${subject}, by ${author}) is taken as it is.\n`)
  } finally {
    await source.close()
  }
}
