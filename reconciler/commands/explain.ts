import { Command } from 'commander'
import { addressFamily, canonicalAddress } from '../../schemas/address.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { createEvaluator } from '../controller/evaluate.ts'
import { buildDesired } from '../desired/build-desired.ts'
import { readFleetKey } from '../drivers/xdp/fleet-key.ts'
import { type LiveFlow, readLiveFlow } from '../drivers/xdp/live-flow.ts'
import { checkRules } from '../manifest/check-rules.ts'
import { parseManifests } from '../manifest/parse-manifests.ts'
import { type ExplainedPacket, type Explanation, explainFlow } from '../ring/explain-flow.ts'
import { type FlowTuple, splitFleetKey } from '../ring/flow-hash.ts'
import { openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, renderDiagnostics } from './print.ts'
import { readFolder } from './read-folder.ts'

const SETTINGS = [...SOURCE_SETTINGS, 'path', 'bpffs', 'fleetKeyFile'] as const

export const explainCommand = (): Command =>
  addSettings(new Command('explain'), SETTINGS)
    .description(
      'Say where a flow goes, and why: from manifests, or from what the kernel of this node holds.',
    )
    .argument('<protocol>', 'tcp or udp')
    .argument('<source>', 'address:port, [address]:port for IPv6')
    .argument('<vip>', 'address:port, [address]:port for IPv6')
    .option('--dir <folder>', 'manifests as they are on disk')
    .option(
      '--revision <revision>',
      'manifests at a revision of --repo; the head of the branch when left out',
    )
    .option('--live', 'what the kernel of this machine holds for --node')
    .option('--node <name>', 'one node; all of them when left out')
    .option('--connection-id <hex>', 'of a QUIC packet with a short header')
    .option('--json', 'print one JSON value: {flow, nodes: [{node, explanation, entry}]}')
    .addHelpText('after', '\nExit codes: 0 every node forwards it, 2 one does not, 1 it cannot be said.')
    .action(async (protocol, source, vip, options: ExplainOptions, command: Command) => {
      const packet = { ...readTuple(protocol, source, vip), ...readConnectionId(options.connectionId) }
      process.exitCode = await explain(packet, options, command)
    })

interface ExplainOptions {
  readonly dir?: string
  readonly revision?: string
  readonly live?: boolean
  readonly node?: string
  readonly connectionId?: string
  readonly json?: boolean
}

interface Explained {
  readonly node: string
  readonly explanation: Explanation
  /** Only of live nodes: null when the flow has none. */
  readonly entry?: LiveFlow['entry']
}

async function explain(tuple: ExplainedPacket, options: ExplainOptions, command: Command): Promise<number> {
  const nodes = options.live
    ? [await explainLive(tuple, options, command)]
    : await explainManifests(tuple, options, command)
  if (nodes.length === 0)
    throw new CommandFailure(`There is no node${options.node ? ` ${options.node}` : ''}.`)
  if (options.json) printJson({ flow: tuple, nodes })
  else process.stdout.write(nodes.map(render).join('\n'))
  return nodes.every(({ explanation }) => explanation.reason.startsWith('forwarded_')) ? 0 : 2
}

async function explainLive(
  tuple: ExplainedPacket,
  { node }: ExplainOptions,
  command: Command,
): Promise<Explained> {
  if (node === undefined) throw new CommandFailure('--live needs --node, as the worker was started with.')
  const { bpffs } = readSettings(command, SETTINGS)
  const live = await readLiveFlow({ bpffs, node }, tuple)
  if (live === null) throw new CommandFailure(`No program of node ${node} is loaded under ${bpffs}.`)
  return { node, explanation: explainFlow(live.rows, live.fleetKey, tuple), entry: live.entry }
}

async function explainManifests(
  tuple: ExplainedPacket,
  options: ExplainOptions,
  command: Command,
): Promise<Explained[]> {
  const { fleetKeyFile } = readSettings(command, SETTINGS)
  const tables = options.dir === undefined ? await readRevision(options, command) : await readDir(options.dir)
  return (
    [...tables]
      // Of IPVS the kernel alone knows where a flow goes; a node of nothing else is passed over unless it is named.
      .filter(([node, { xdp }]) =>
        options.node === undefined ? xdp.settings !== undefined : options.node === node,
      )
      .map(([node, { xdp }]) => {
        const settings = Object.values(xdp).find(row => row.kind === 'settings')
        if (settings === undefined) throw new CommandFailure(`Node ${node} has nothing of XDP.`)
        const key = splitFleetKey(readFleetKey(settings, fleetKeyFile))
        return { node, explanation: explainFlow(xdp, key, tuple) }
      })
  )
}

async function readDir(dir: string): Promise<Map<string, NodeTables>> {
  const tree = parseManifests(await readFolder(dir))
  const diagnostics = [...tree.diagnostics, ...checkRules(tree)].filter(
    ({ severity }) => severity === 'error',
  )
  if (diagnostics.length > 0) throw new CommandFailure(renderDiagnostics(diagnostics))
  return tablesOf(buildDesired(tree.manifests))
}

async function readRevision(
  { revision }: ExplainOptions,
  command: Command,
): Promise<Map<string, NodeTables>> {
  const settings = readSettings(command, SETTINGS, ['repo'])
  const source = await openConfiguredSource(settings, createCommandLog())
  try {
    await source.pull()
    const name = revision ?? (await source.branch())
    const found = name === null ? null : await source.repository.resolve(name)
    if (found === null) throw new CommandFailure(`${name ?? source.address} names no revision.`)
    const { fleet, diagnostics } = await createEvaluator(source.repository, settings.path)(found)
    if (fleet === null) throw new CommandFailure(renderDiagnostics(diagnostics))
    return tablesOf(fleet)
  } finally {
    await source.close()
  }
}

const tablesOf = ({ nodes }: ReturnType<typeof buildDesired>): Map<string, NodeTables> =>
  new Map([...nodes].map(([node, { state }]) => [node, state.tables]))

function readTuple(protocol: string, from: string, to: string): FlowTuple {
  if (protocol !== 'tcp' && protocol !== 'udp') throw new CommandFailure(`${protocol} is not tcp or udp.`)
  const [source, vip] = [readEnd(from), readEnd(to)]
  if (addressFamily(source.address) !== addressFamily(vip.address))
    throw new CommandFailure(`${from} and ${to} are of two families.`)
  return { protocol, source: source.address, sourcePort: source.port, vip: vip.address, port: vip.port }
}

/** At most 20 bytes (RFC 9000, 17.2). */
function readConnectionId(text: string | undefined): { connectionId?: string } {
  if (text === undefined) return {}
  if (!/^([0-9a-f]{2}){1,20}$/i.test(text))
    throw new CommandFailure(`${text} is no connection id: 1 to 20 bytes in hex digits.`)
  return { connectionId: text.toLowerCase() }
}

function readEnd(text: string): { address: string; port: number } {
  const [, ipv6, ipv4, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  try {
    const address = canonicalAddress(ipv6 ?? ipv4 ?? '')
    if (port > 0 && port < 65_536 && addressFamily(address) === (ipv6 === undefined ? 4 : 6))
      return { address, port }
  } catch {
    // Said below.
  }
  throw new CommandFailure(`${text} is no address:port. IPv6: [2001:db8::1]:443.`)
}

function render({ node, explanation, entry }: Explained): string {
  const { reason, service, slot, backend, encapsulation, flowLimit } = explanation
  const lines = [
    ['service', service?.replace('service/', '') ?? null],
    ['slot', slot],
    ['backend', backend],
    ['encapsulation', encapsulation && renderEncapsulation(encapsulation)],
    ['reason', reason],
    ...(flowLimit === null ? [] : [['limit', renderLimit(flowLimit)]]),
    ...(entry === undefined ? [] : [['flow entry', renderEntry(entry)]]),
  ]
  const text = lines.map(([name, value]) => `  ${String(name).padEnd(14)}${value ?? '–'}\n`)
  return `${node}\n${text.join('')}`
}

const renderLimit = ({ prefix, perSecond, burst }: NonNullable<Explanation['flowLimit']>): string =>
  `${perSecond} new flows a second from ${prefix}, ${burst} at once`

function renderEncapsulation({
  kind,
  source,
  destination,
  ports,
}: NonNullable<Explanation['encapsulation']>): string {
  const end = (address: string, port: number | undefined): string =>
    port === undefined ? address : `${address.includes(':') ? `[${address}]` : address}:${port}`
  if (kind === 'l2') return `none, to the link address of ${destination}`
  return `${kind}, ${end(source, ports?.source)} -> ${end(destination, ports?.destination)}`
}

function renderEntry(entry: LiveFlow['entry']): string {
  if (entry === null) return 'none: the next packet goes by the ring'
  const { state, idle, backend } = entry
  const age = `${state}, last packet ${idle} s ago`
  if (backend === null)
    return `${age}; its backend left the service or it timed out: the next packet goes by the ring`
  return `${age}: to ${backend}, whatever the ring says, unless a SYN opens the connection anew`
}
