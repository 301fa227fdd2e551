import { Command } from 'commander'
import { buildDesired } from '../desired/build-desired.ts'
import { computePacketRoom } from '../desired/packet-room.ts'
import { checkRules } from '../manifest/check-rules.ts'
import { parseManifests } from '../manifest/parse-manifests.ts'
import { sortDiagnostics } from '../manifest/render-diagnostic.ts'
import { printJson, renderDiagnostics } from './print.ts'
import { readFolder } from './read-folder.ts'
import { renderPacketRoom } from './render-packet-room.ts'

export const validateCommand = (): Command =>
  new Command('validate')
    .description(
      'Check the manifests in a folder, as they are on disk. Says everything that is wrong, at once, and of valid ones how large packets to their VIPs may be.',
    )
    .argument('[dir]', 'the folder', '.')
    .option('--json', 'print one JSON value: {ok, files, manifests, ignored, diagnostics, room}')
    .addHelpText(
      'after',
      '\nExit codes: 0 valid (there may be warnings), 1 invalid, or the folder cannot be read.',
    )
    .action(async (dir: string, { json }: { json?: boolean }) => {
      process.exitCode = await validate(dir, json === true)
    })

async function validate(dir: string, json: boolean): Promise<number> {
  const files = await readFolder(dir)
  const tree = parseManifests(files)
  const diagnostics = sortDiagnostics([...tree.diagnostics, ...checkRules(tree)])
  const errors = diagnostics.filter(({ severity }) => severity === 'error').length
  const counts = { files: files.length, manifests: tree.manifests.length, ignored: tree.ignored }
  const room = errors === 0 ? computePacketRoom(buildDesired(tree.manifests)) : []
  if (json) printJson({ ok: errors === 0, ...counts, diagnostics, room })
  else {
    if (diagnostics.length > 0) process.stderr.write(`${renderDiagnostics(diagnostics)}\n`)
    const warnings = diagnostics.length - errors
    const verdict = errors === 0 ? 'valid' : 'not valid'
    const found = `${count(counts.manifests, 'manifest')} in ${count(counts.files, 'file')}`
    const others = counts.ignored > 0 ? `; ${count(counts.ignored, 'document')} of others passed over` : ''
    process.stdout.write(
      `${found}: ${verdict}, ${count(errors, 'error')}, ${count(warnings, 'warning')}${others}\n${renderPacketRoom(room)}`,
    )
  }
  return errors === 0 ? 0 : 1
}

const count = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? '' : 's'}`
