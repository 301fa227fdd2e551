import { canonicalAddress } from '../../schemas/address.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import { API_VERSION } from '../../schemas/manifest/metadata.ts'
import type { Kind, Resource } from '../../schemas/manifest/resource.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import {
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
  if (service === undefined)
    return 'match' in row
      ? 'An unexpected service of IPVS needs its VIP and sysctls too: write its manifest by hand.'
      : [proposeFile(input, row)]
  const { spec } = service.resource
  const isServed = fleet.nodes.get(node)!.names[key] !== undefined
  const names = spec.nodes.names
  const selector: ValueChange[] = isServed
    ? []
    : [{ op: 'set', path: ['spec', 'nodes', 'names'], value: [...(names ?? []), node].sort() }]
  const pool = spec.pool === undefined ? undefined : find(input, 'BackendPool', spec.pool)
  const holder = spec.backends === undefined ? pool : service
  const list = holder?.resource.kind === 'BackendPool' ? holder.resource.spec.backends : spec.backends
  const backends = 'match' in row ? ipvsBackends(row, spec) : xdpBackends(row)
  const ofBackends = backends === null ? [] : backendChanges(list ?? [], backends)
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

function proposeFile({ record, open, allNodes }: ProposalInput, row: XdpServiceRow): Proposal {
  const { vip, port, endPort, protocol, idleTimeout, encapsulation, hashBy, gue, access, flowLimit, quic } =
    row
  const id = record.key.replace(/^service\//, '')
  const name = `adopted-${id
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')}`.slice(0, 63)
  const alike = open.filter(
    each => each.key === record.key && each.driver === record.driver && each.kind === 'unexpected',
  )
  const names = [...new Set([record.node, ...(allNodes ? alike.map(({ node }) => node) : [])])].sort()
  const manifest = {
    apiVersion: API_VERSION,
    kind: 'Service',
    metadata: { name },
    spec: {
      vip,
      ports: [{ port, ...(endPort !== undefined && { endPort }), protocol }],
      nodes: { names },
      forwarding: encapsulation,
      ...(gue && { gue: gueOf(gue) }),
      ...(hashBy && { hashBy }),
      ...(access && { access: accessOf(access) }),
      ...(flowLimit && { flowLimit: flowLimitOf(flowLimit) }),
      ...(quic && { quic }),
      udpIdleTimeout: idleTimeout,
      backends: xdpBackends(row),
    },
  }
  return { kind: 'file', what: `A new Service ${name}`, name, manifest }
}

/** What a manifest says of a backend; absent: as the default is. */
type Found = Partial<Pick<Backend, 'port' | 'quicServerId' | 'thresholds'>> & {
  readonly address: string
  readonly weight: number
}

const xdpBackends = ({ backends }: XdpServiceRow): Found[] =>
  backends.map(({ address, weight, serverId }) => ({
    ...{ address, weight },
    ...(serverId !== undefined && { quicServerId: serverId }),
  }))

/** Null: a backend is reached in another way than the service says. */
const ipvsBackends = (
  { backends, match }: IpvsServiceRow,
  { forwarding }: Service['spec'],
): Found[] | null =>
  backends.some(({ forwarding: { method } }) => method !== forwarding)
    ? null
    : backends.map(({ address, weight, port, upper, lower }) => ({
        ...{ address, weight },
        ...(match.by === 'address' && port !== match.port && { port }),
        ...(upper > 0 && { thresholds: { upper, lower } }),
      }))

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

function fieldChanges(spec: Service['spec'], row: XdpServiceRow | IpvsServiceRow): ValueChange[] {
  if ('match' in row) {
    const scheduler = row.scheduler === 'mh' ? 'maglev' : row.scheduler
    return setFields(['spec'], spec, { scheduler })
  }
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

const gueOf = ({ port, variant, checksum }: NonNullable<XdpServiceRow['gue']>) => ({
  ...{ port, variant },
  ...(checksum && { checksum: 'full' }),
})
const accessOf = ({ allow, deny }: NonNullable<XdpServiceRow['access']>) => ({
  allow: allow.length > 0 ? allow : undefined,
  deny: deny.length > 0 ? deny : undefined,
})
const flowLimitOf = ({ perSecond, burst, ipv4Bits, ipv6Bits }: NonNullable<XdpServiceRow['flowLimit']>) => ({
  ...{ perSecond, burst },
  ...{ ipv4PrefixLength: ipv4Bits, ipv6PrefixLength: ipv6Bits },
})

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
    if (row.kind !== 'interface' || row.rps === 'uneven') return null
    const { attach, rps } = row
    const wanted = spec.interfaces[index]
    if (wanted === undefined) {
      return [{ op: 'append', path, value: { name, attach, ...(rps !== undefined && { rps }) } }]
    }
    return setFields([...path, index], wanted, { attach, rps })
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
