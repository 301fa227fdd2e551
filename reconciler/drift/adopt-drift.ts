import { isDeepStrictEqual } from 'node:util'
import { stringify } from 'yaml'
import { compareAddresses } from '../../schemas/address.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { DriverName, IpvsServiceRow, type NodeTables, type RowKey } from '../../schemas/node-state.ts'
import { buildDesired, type DesiredFleet } from '../desired/build-desired.ts'
import { checkRules } from '../manifest/check-rules.ts'
import type { ManifestFile } from '../manifest/manifest.ts'
import { parseManifests } from '../manifest/parse-manifests.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'
import { type Proposal, proposeEdits, type Written, writtenIn } from './adopt-edits.ts'
import { dropDocument, editManifest } from './edit-manifest.ts'

export interface AdoptInput {
  /** All manifests of the revision that is to be changed. */
  readonly files: readonly ManifestFile[]
  /** The folder that holds them; '' for the root. */
  readonly path: string
  readonly record: DriftRecord
  /** What is open on all nodes; other rows that become what was found on their node are no side effect. */
  readonly open: readonly DriftRecord[]
  /** Whether rows that have not drifted may change with it. */
  readonly allNodes: boolean
}

/** `also`: other rows that the same edit changes, as `node driver key`. */
export type Adoption =
  | {
      readonly kind: 'edits'
      /** Path → text; null: the file goes. */
      readonly edits: ReadonlyMap<string, string | null>
      readonly also: readonly string[]
    }
  | { readonly kind: 'refused'; readonly why: string }

const refuse = (why: string): Adoption => ({ kind: 'refused', why })

/**
 * Changes manifests so that what was found is what is wanted. Every change is tried: it is taken only when the manifests are
 * valid with it, ask the node for exactly the row that was found, and change no row that has not drifted.
 */
export function adoptDrift(input: AdoptInput): Adoption {
  const { files, record } = input
  const driver = DriverName.safeParse(record.driver).data
  if (record.kind === 'paused' || driver === undefined)
    return refuse('A pause is nothing that a manifest says.')
  const before = readFleet(files)
  if ('problem' in before) return refuse(`The branch is not valid: ${before.problem}`)
  const wanted = wantedRow(record)
  const rowOf = ({ nodes }: DesiredFleet) => nodes.get(record.node)?.state.tables[driver][record.key] ?? null
  if (!before.fleet.nodes.has(record.node)) return refuse(`The branch has no Node ${record.node}.`)
  if (isDeepStrictEqual(rowOf(before.fleet), wanted))
    return refuse(
      isDeepStrictEqual(wanted, record.observed)
        ? 'The branch asks for it already.'
        : 'Only the ring or the order of the backends differs, which are made of the backends: no manifest says it, and a repair makes it anew.',
    )
  const written = writtenIn(files)
  const proposals = proposeEdits({ ...input, driver, wanted, fleet: before.fleet, written })
  if (typeof proposals === 'string') return refuse(proposals)
  let why = 'No field of a manifest says it.'
  for (const proposal of proposals) {
    const edits = applyProposal(input, proposal)
    const after = edits === null ? null : readFleet(merge(files, edits))
    if (edits === null || after === null) continue
    if ('problem' in after) {
      why = `The manifests would not be valid: ${after.problem}`
      continue
    }
    if (!isDeepStrictEqual(rowOf(after.fleet), wanted)) continue
    const also = sideEffects(before.fleet, after.fleet, input)
    if (also.length === 0 || input.allNodes) return { kind: 'edits', edits, also }
    why = `${proposal.what} would also change what has not drifted so: ${also.join('; ')}. --all-nodes takes that too.`
  }
  return refuse(why)
}

type Read = { readonly fleet: DesiredFleet } | { readonly problem: string }

function readFleet(files: readonly ManifestFile[]): Read {
  const tree = parseManifests(files)
  const found = [...tree.diagnostics, ...checkRules(tree)].find(({ severity }) => severity === 'error')
  return found === undefined
    ? { fleet: buildDesired(tree.manifests) }
    : { problem: renderDiagnostic(found, { color: false }) }
}

/** As a desired row says it: a ring is what its backends make of it, and those of IPVS are in their order. */
function wantedRow({ observed }: Pick<DriftRecord, 'observed'>): unknown {
  const ipvs = IpvsServiceRow.safeParse(observed).data
  if (ipvs !== undefined)
    return { ...ipvs, backends: ipvs.backends.toSorted((a, b) => compareAddresses(a.address, b.address)) }
  const row = observed as { ring?: object } | null
  return row?.ring === undefined ? observed : { ...row, ring: { ...row.ring, differing: 0 } }
}

function merge(
  files: readonly ManifestFile[],
  edits: ReadonlyMap<string, string | null>,
): readonly ManifestFile[] {
  const kept = files.filter(({ path }) => !edits.has(path))
  const changed = [...edits].flatMap(([path, text]) => (text === null ? [] : [{ path, text }]))
  return [...kept, ...changed]
}

/** Null: what is written cannot be changed there, an alias of YAML for instance. */
function applyProposal(
  { files, path }: AdoptInput,
  proposal: Proposal,
): ReadonlyMap<string, string | null> | null {
  if (proposal.kind === 'file') return new Map([newFile(files, path, proposal)])
  const { file, document } = proposal.at
  const { text } = files.find(each => each.path === file)!
  try {
    const edited =
      proposal.kind === 'drop' ? dropDocument(text, document) : editManifest(text, document, proposal.changes)
    return new Map([[file, edited === '' ? null : edited]])
  } catch {
    return null
  }
}

/** Beside another Service, where people look for it. */
function newFile(
  files: readonly ManifestFile[],
  path: string,
  { manifest, name }: Extract<Proposal, { kind: 'file' }>,
): [string, string] {
  const neighbour = writtenIn(files).find(({ resource }) => resource.kind === 'Service')
  const folder = neighbour === undefined ? posixJoin(path, 'services') : dirOf(neighbour)
  return [posixJoin(folder, `${name}.yaml`), stringify(manifest, { lineWidth: 0 })]
}

const dirOf = ({ file }: Written): string => file.split('/').slice(0, -1).join('/')
const posixJoin = (...parts: string[]): string => parts.filter(part => part !== '' && part !== '.').join('/')

function sideEffects(
  before: DesiredFleet,
  after: DesiredFleet,
  { record, open }: Pick<AdoptInput, 'record' | 'open'>,
): string[] {
  const id = (node: string, driver: string, key: string) => `${node} ${driver} ${key}`
  const found = new Map(open.map(each => [id(each.node, each.driver, each.key), wantedRow(each)]))
  found.set(id(record.node, record.driver, record.key), wantedRow(record))
  return [...before.nodes.keys()].flatMap(node =>
    DriverName.options.flatMap(driver => {
      const table = (fleet: DesiredFleet): NodeTables[DriverName] =>
        fleet.nodes.get(node)?.state.tables[driver] ?? {}
      const [was, is] = [table(before), table(after)] as Readonly<Record<RowKey, unknown>>[]
      return [...new Set([...Object.keys(was!), ...Object.keys(is!)])]
        .filter(key => !key.startsWith('condition/') && !isDeepStrictEqual(was![key], is![key]))
        .map(key => [id(node, driver, key), is![key] ?? null] as const)
        .filter(([name, row]) => !found.has(name) || !isDeepStrictEqual(found.get(name), row))
        .map(([name]) => name)
    }),
  )
}
