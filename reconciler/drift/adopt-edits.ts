import { canonicalAddress } from '../../schemas/address.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import type { Kind, Resource } from '../../schemas/manifest/resource.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import {
  type BgpRouteRow,
  BgpRow,
  type DriverName,
  IpvsRow,
  type IpvsServiceRow,
  XdpRow,
  type XdpServiceRow,
} from '../../schemas/node-state.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { ManifestFile } from '../manifest/manifest.ts'
import { parseText } from '../manifest/parse-text.ts'
import { selectNodes } from '../manifest/select-nodes.ts'
import { proposePeerLoss, proposeRoute } from './adopt-announcement.ts'
import {
  accessOf,
  type Found,
  flowLimitOf,
  gueOf,
  ipvsBackends,
  ipvsFields,
  proposeFile,
  xdpBackends,
} from './adopt-service-fields.ts'
import type { ValueChange } from './edit-manifest.ts'

/** A manifest and where it is written. */
export interface Written<R extends Resource = Resource> {
  readonly file: string
  /** Counts the YAML documents of the file from 0. */
  readonly document: number
  readonly resource: R
}

/** One way in which manifests may come to say what was found; `what` is its subject in a sentence. */
export type Proposal = { readonly what: string } & (
  | { readonly kind: 'values'; readonly at: Written; readonly changes: readonly ValueChange[] }
  | { readonly kind: 'drop'; readonly at: Written }
  | { readonly kind: 'file'; readonly name: string; readonly manifest: object }
)

export interface ProposalInput {
  readonly record: DriftRecord
  readonly open: readonly DriftRecord[]
  readonly allNodes: boolean
  readonly driver: DriverName
  /** The row that is to be asked for; null: none. */
  readonly wanted: unknown
  readonly fleet: DesiredFleet
  readonly written: readonly Written[]
}

export const writtenIn = (files: readonly ManifestFile[]): Written[] =>
  files.flatMap(({ path, text }) =>
    parseText(text).resources.map(({ resource, document }) => ({ file: path, document, resource })),
  )

const ROWS = { xdp: XdpRow, ipvs: IpvsRow, bgp: BgpRow } as const

/** The best first; they need not lead to the row that is wanted. Text: why there is none. */
export function proposeEdits(input: ProposalInput): readonly Proposal[] | string {
  const { driver, wanted, record } = input
  const parsed = ROWS[driver].nullable().safeParse(wanted)
  if (!parsed.success) return 'What was found is no row that a manifest can ask for.'
  const row = parsed.data
  const [kind] = record.key.split('/')
  if (kind === 'service') return proposeService(input, row as XdpServiceRow | IpvsServiceRow | null)
  if (kind === 'route') return proposeRoute(input, row as BgpRouteRow | null)
  if (kind === 'peer' && row === null) return proposePeerLoss(input)
  const node = find(input, 'Node', record.node)
  if (node === undefined) return `No manifest of Node ${record.node} was found.`
  const changes = nodeChanges(node.resource as Extract<Resource, { kind: 'Node' }>, record.key, row)
  if (changes === null) return `No field of a manifest says by itself what ${record.key} is.`
  return [{ kind: 'values', what: `Node ${record.node}`, at: node, changes }]
}

const find = ({ written }: ProposalInput, kind: Kind, name: string | undefined): Written | undefined =>
  written.find(({ resource }) => resource.kind === kind && resource.metadata.name === name)

function proposeService(
  input: ProposalInput,
  row: XdpServiceRow | IpvsServiceRow | null,
): readonly Proposal[] | string {
  const { record, fleet } = input
  const { key, node } = record
  const name =
    fleet.nodes.get(node)!.names[key] ??
    [...fleet.nodes.values()].map(({ names }) => names[key]).find(each => each !== undefined)
  const service = find(input, 'Service', name) as Written<Service> | undefined
  if (row === null) return service === undefined ? [] : proposeLoss(input, service)
  if (service === undefined) {
    const file = proposeFile(input, row)
    return typeof file === 'string' ? file : [file]
  }
  const { spec } = service.resource
  const isServed = fleet.nodes.get(node)!.names[key] !== undefined
  const names = spec.nodes.names
  const selector: ValueChange[] = isServed
    ? []
    : [{ op: 'set', path: ['spec', 'nodes', 'names'], value: [...(names ?? []), node].sort() }]
  const pool = spec.pool === undefined ? undefined : find(input, 'BackendPool', spec.pool)
  const holder = spec.backends === undefined ? pool : service
  const list = holder?.resource.kind === 'BackendPool' ? holder.resource.spec.backends : spec.backends
  const backends = 'match' in row ? ipvsBackends(row) : xdpBackends(row)
  const ofBackends = backendChanges(list ?? [], backends)
  const ofService = [...selector, ...fieldChanges(spec, row)]
  // One proposal changes one document.
  const merged: Proposal = {
    ...{ kind: 'values', what: `Service ${service.resource.metadata.name}`, at: service },
    changes: holder === service ? [...ofService, ...ofBackends] : ofService,
  }
  if (holder === service || holder === undefined || ofBackends.length === 0) return [merged]
  const what = `BackendPool ${holder.resource.metadata.name}`
  return ofService.length > 0
    ? `Both Service ${service.resource.metadata.name} and ${what} would have to change: do it by hand.`
    : [{ kind: 'values', what, at: holder, changes: ofBackends }]
}

function proposeLoss(input: ProposalInput, service: Written<Service>): Proposal[] {
  const { spec, metadata } = service.resource
  const nodes = input.written.flatMap(({ resource }) => (resource.kind === 'Node' ? [resource] : []))
  const names = selectNodes(spec.nodes, nodes).map(node => node.metadata.name)
  const rest = names.filter(name => name !== input.record.node).sort()
  const what = `Service ${metadata.name}`
  const port = spec.ports.findIndex(({ port: first, endPort, protocol }) =>
    input.record.key.endsWith(`:${first}${endPort === undefined ? '' : `-${endPort}`}/${protocol}`),
  )
  const withoutPort: ValueChange = { op: 'delete', path: ['spec', 'ports', port] }
  const withoutNode: ValueChange = { op: 'set', path: ['spec', 'nodes', 'names'], value: rest }
  return [
    ...(rest.length > 0
      ? [{ kind: 'values', what, at: service, changes: [withoutNode] } as const]
      : [{ kind: 'drop', what, at: service } as const]),
    ...(port >= 0 && spec.ports.length > 1
      ? [{ kind: 'values', what, at: service, changes: [withoutPort] } as const]
      : []),
  ]
}

/** Backends that stay keep their place, and what is written beside them. */
function backendChanges(list: readonly Backend[], found: readonly Found[]): ValueChange[] {
  const path = ['spec', 'backends']
  const byAddress = new Map(found.map(each => [canonicalAddress(each.address), each]))
  const changed = list.flatMap((backend, index): ValueChange[] => {
    const now = byAddress.get(backend.address)
    if (now === undefined) return []
    const at = (field: string) => [...path, index, field]
    const isDrained = backend.drain && now.weight === 0
    const extra = (['quicServerId', 'thresholds'] as const).filter(
      field => JSON.stringify(backend[field]) !== JSON.stringify(now[field]),
    )
    return [
      ...(backend.drain && !isDrained ? [{ op: 'delete', path: at('drain') } as const] : []),
      ...(isDrained || backend.weight === now.weight
        ? []
        : [{ op: 'set', path: at('weight'), value: now.weight } as const]),
      ...(now.port !== undefined && now.port !== backend.port
        ? [{ op: 'set', path: at('port'), value: now.port } as const]
        : []),
      ...extra.map(
        (field): ValueChange =>
          now[field] === undefined
            ? { op: 'delete', path: at(field) }
            : { op: 'set', path: at(field), value: now[field] },
      ),
    ]
  })
  const known = new Set(list.map(({ address }) => address))
  const added = found
    .filter(({ address }) => !known.has(canonicalAddress(address)))
    .map(value => ({ op: 'append', path, value }) as const)
  // The last first, so that numbers of those before stay true.
  const lost = [...list.keys()]
    .filter(index => !byAddress.has(list[index]!.address))
    .reverse()
    .map(index => ({ op: 'delete', path: [...path, index] }) as const)
  return [...changed, ...added, ...lost]
}

/** Sets what differs; undefined: the field goes. */
const setFields = (
  path: readonly (string | number)[],
  was: Readonly<Record<string, unknown>>,
  is: Readonly<Record<string, unknown>>,
): ValueChange[] =>
  Object.entries(is)
    .filter(([field, value]) => JSON.stringify(was[field]) !== JSON.stringify(value))
    .map(([field, value]) =>
      value === undefined
        ? { op: 'delete', path: [...path, field] }
        : { op: 'set', path: [...path, field], value },
    )

/** What is as the default is stays unwritten where it was. */
function ipvsChanges(spec: Service['spec'], row: IpvsServiceRow): ValueChange[] {
  const found = ipvsFields(row)
  const { schedulerFlags, persistence, onePacket = false } = found.ipvs ?? {}
  return [
    ...setFields(['spec'], spec, {
      scheduler: found.scheduler,
      ...(found.forwarding !== undefined && { forwarding: found.forwarding }),
      ...(found.gue && { gue: found.gue }),
      ...(found.gre && { gre: found.gre }),
    }),
    ...setFields(
      ['spec', 'ipvs'],
      { onePacket: false, ...spec.ipvs },
      {
        onePacket,
        ...(schedulerFlags && { schedulerFlags }),
        ...(spec.ipvs?.schedulerFlags !== undefined && { schedulerFlags }),
        persistence: persistence && { ...spec.ipvs?.persistence, ...persistence },
      },
    ),
  ]
}

function fieldChanges(spec: Service['spec'], row: XdpServiceRow | IpvsServiceRow): ValueChange[] {
  if ('match' in row) return ipvsChanges(spec, row)
  const { encapsulation: forwarding, hashBy = 'flow', gue, access, flowLimit, quic, idleTimeout } = row
  return [
    ...setFields(['spec'], spec, { forwarding, hashBy, udpIdleTimeout: idleTimeout }),
    ...(gue ? setFields(['spec', 'gue'], { port: 6080, variant: 1, ...spec.gue }, gueOf(gue)) : []),
    ...(access
      ? setFields(['spec', 'access'], { ...spec.access }, accessOf(access))
      : setFields(['spec'], spec, { access: undefined })),
    ...setFields(['spec'], spec, {
      flowLimit: flowLimit && { ...flowLimitOf(flowLimit) },
      ...(row.protocol === 'udp' && { quic }),
    }),
  ]
}

/** Null: it is none of what a Node says by itself. */
function nodeChanges(
  { spec }: Extract<Resource, { kind: 'Node' }>,
  key: string,
  row: XdpRow | IpvsRow | BgpRow | null,
): ValueChange[] | null {
  const [kind, ...rest] = key.split('/')
  const name = rest.join('/')
  if (kind === 'interface') {
    const index = spec.interfaces.findIndex(each => each.name === name)
    const path = ['spec', 'interfaces']
    if (row === null) return [{ op: 'delete', path: [...path, index] }]
    // Of queues that differ among themselves a manifest says nothing.
    if (row.kind !== 'interface' || row.rps === 'uneven' || row.cpus === 'uneven') return null
    const { attach, rps } = row
    const cpus = row.cpus === 'none' ? undefined : row.cpus
    const wanted = spec.interfaces[index]
    if (wanted === undefined) {
      return [
        {
          op: 'append',
          path,
          value: { name, attach, ...(rps !== undefined && { rps }), ...(cpus !== undefined && { cpus }) },
        },
      ]
    }
    return setFields([...path, index], wanted, { attach, rps, cpus })
  }
  if (kind === 'sysctl' && (row === null || row.kind === 'sysctl')) {
    const path = ['spec', 'ipvs', 'sysctls', name]
    return row === null ? [{ op: 'delete', path }] : [{ op: 'set', path, value: row.value }]
  }
  if (kind === 'timeouts' && (row === null || row.kind === 'timeouts')) {
    const path = ['spec', 'ipvs', 'timeouts']
    if (row === null) return [{ op: 'delete', path }]
    const { kind: _, ...values } = row
    return setFields(path, spec.ipvs.timeouts ?? {}, values)
  }
  if (row?.kind === 'settings') {
    const { sources, mtu, egress, unmatched, fragments = 'track', capacity } = row
    const given = { ipv4: sources.ipv4 || undefined, ipv6: sources.ipv6 || undefined }
    return [
      ...setFields(['spec'], spec, { mtu, egress, unmatched, fragments }),
      ...setFields(['spec', 'sources'], spec.sources, given),
      ...setFields(['spec', 'capacity'], spec.capacity, capacity),
    ]
  }
  if (row?.kind === 'speaker' && spec.bgp !== undefined) {
    const { daemon, asn, routerId } = row
    return setFields(['spec', 'bgp'], spec.bgp, { daemon, asn, routerId })
  }
  return null
}
