import { formatCpuList, parseCpuList } from '../../schemas/cpu-list.ts'
import type { DriftPolicy } from '../../schemas/drift-policy.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import type { BackendPool } from '../../schemas/manifest/backend-pool.ts'
import type { Fleet } from '../../schemas/manifest/fleet.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import type { Resource } from '../../schemas/manifest/resource.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import {
  emptyTables,
  type IpvsRow,
  type IpvsServiceRow,
  NODE_STATE_VERSION,
  type NodeState,
  type RowKey,
  type XdpInterfaceRow,
  type XdpRow,
  type XdpServiceRow,
  type XdpSettingsRow,
} from '../../schemas/node-state.ts'
import type { Handover, Want } from '../../schemas/want.ts'
import { selectNodes } from '../manifest/select-nodes.ts'
import { fleetKeyFingerprint, fleetKeyFromName } from '../ring/flow-hash.ts'
import { readDriftPolicies } from './drift-policy.ts'
import { type Policy, readPolicy } from './read-policy.ts'
import { bgpTables } from './rows-of-bgp.ts'
import { ipvsNodeRows, ipvsServiceRows } from './rows-of-ipvs.ts'
import { xdpServiceRows } from './rows-of-xdp.ts'
import { shareServices, shareTables } from './share-rows.ts'

/** What the manifests of one revision ask of every node. Rows and lists of backends are shared: do not change them. */
export interface DesiredFleet {
  readonly nodes: ReadonlyMap<string, DesiredNode>
  readonly fleet: { readonly name: string; readonly drift: Want['drift'] }
  readonly policy: Policy
}

export interface DesiredNode {
  readonly state: NodeState
  readonly handover: Handover
  /** The Service that each row of a service came from. */
  readonly names: Readonly<Record<RowKey, string>>
  /** Of its manifest. */
  readonly labels: Readonly<Record<string, string>>
  /** Null: the Fleet's `drift` says all. */
  readonly driftPolicy: DriftPolicy | null
}

/**
 * Selectors resolved, pools expanded, drained backends at weight 0, backends sorted by address. The order
 * of the manifests makes no difference. They must be free of errors: throws `TypeError` where no rule could
 * have let them through.
 */
export function buildDesired(manifests: readonly Resource[]): DesiredFleet {
  const sorted = manifests.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const fleet = sorted.find(each => each.kind === 'Fleet')
  if (fleet === undefined) throw new TypeError('manifests without a Fleet ask for nothing')
  const nodes = sorted.filter(each => each.kind === 'Node')
  const built = new Map(nodes.map(node => [node.metadata.name, startNode(node, fleet)]))
  const backendsOf = createExpander(sorted.filter(each => each.kind === 'BackendPool'))
  const ofIpvs = new Map(nodes.map(node => [node, [] as Service[]]))

  const services = sorted.filter(each => each.kind === 'Service')
  const servicesOf = shareServices(
    services.filter(({ spec }) => spec.dataplane === 'xdp'),
    nodes,
    service => rowsOf(service, backendsOf(service)) as readonly (readonly [RowKey, XdpRow])[],
  )
  for (const node of nodes) {
    const each = built.get(node.metadata.name)!
    const shared = servicesOf(node)
    each.state = { ...each.state, tables: shareTables(each.state.tables, shared) }
    each.names = shared.names
  }
  for (const service of services.filter(({ spec }) => spec.dataplane === 'ipvs')) {
    const rows = rowsOf(service, backendsOf(service)) as readonly (readonly [RowKey, IpvsRow])[]
    for (const node of selectNodes(service.spec.nodes, nodes)) {
      ofIpvs.get(node)!.push(service)
      for (const [key, row] of rows) built.get(node.metadata.name)!.state.tables.ipvs[key] = row
    }
  }
  for (const [node, some] of ofIpvs) {
    const each = built.get(node.metadata.name)!
    Object.assign(each.state.tables.ipvs, ipvsNodeRows(node, some))
    if (some.length > 0)
      each.names = { ...each.names, ...namesOf(some, service => rowsOf(service, backendsOf(service))) }
  }
  for (const [name, rows] of bgpTables({
    nodes,
    services,
    peers: sorted.filter(each => each.kind === 'BgpPeer'),
    keysOf: service => rowsOf(service, backendsOf(service)).map(([key]) => key),
  }))
    Object.assign(built.get(name)!.state.tables.bgp, rows)
  const policies = readDriftPolicies(fleet, services)
  for (const node of nodes) {
    const each = built.get(node.metadata.name)!
    each.driftPolicy = policies.of(node, each.names, each.state.tables.bgp)
  }
  return {
    nodes: built,
    fleet: { name: fleet.metadata.name, drift: fleet.spec.drift === 'hold' ? 'hold' : 'repair' },
    policy: readPolicy(fleet, sorted),
  }
}

type Building = { -readonly [P in keyof DesiredNode]: DesiredNode[P] }

const namesOf = (services: readonly Service[], rowsOf: (service: Service) => ServiceRows) =>
  Object.fromEntries(
    services.flatMap(service => rowsOf(service).map(([key]) => [key, service.metadata.name] as const)),
  )

const sortCpus = (cpus: string | number): string => formatCpuList(parseCpuList(String(cpus)))

/** A node before it has services. */
function startNode(node: Node, fleet: Fleet): Building {
  const { spec } = node
  const settings: XdpSettingsRow = {
    kind: 'settings',
    fleet: fleet.metadata.name,
    fleetKey: fleet.spec.fleetKey?.fingerprint ?? fleetKeyFingerprint(fleetKeyFromName(fleet.metadata.name)),
    sources: { ipv4: spec.sources.ipv4 ?? '', ipv6: spec.sources.ipv6 ?? '' },
    mtu: spec.mtu,
    egress: spec.egress,
    unmatched: spec.unmatched,
    ...(spec.fragments === 'drop' && { fragments: 'drop' }),
    capacity: { ...spec.capacity },
  }
  const tables = emptyTables()
  // Without an interface for XDP, a node has nothing of XDP.
  if (spec.interfaces.length > 0) tables.xdp.settings = settings
  for (const { name, attach, rps, cpus } of spec.interfaces)
    tables.xdp[`interface/${name}`] = {
      ...{ kind: 'interface', name, attach },
      ...(cpus !== undefined && { cpus: sortCpus(cpus) }),
      ...(rps !== undefined && { rps: rps === 'none' ? rps : sortCpus(rps) }),
    } satisfies XdpInterfaceRow
  const { shutdownTime, timeout: drainTimeout } = spec.drain
  return {
    state: { version: NODE_STATE_VERSION, node: node.metadata.name, tables },
    handover: { shutdownTime, drainTimeout },
    names: {},
    labels: node.metadata.labels,
    driftPolicy: null,
  }
}

type ServiceRows = readonly (readonly [RowKey, XdpServiceRow | IpvsServiceRow])[]

/** What did not change since an earlier revision is the same object, and so are its rows: a diff need not look into them. */
const knownRows = new WeakMap<Service['spec'], { backends: readonly Backend[]; rows: ServiceRows }>()

function rowsOf(service: Service, backends: readonly Backend[]): ServiceRows {
  const known = knownRows.get(service.spec)
  if (known?.backends === backends) return known.rows
  const rows =
    service.spec.dataplane === 'ipvs' ? ipvsServiceRows(service, backends) : xdpServiceRows(service, backends)
  knownRows.set(service.spec, { backends, rows })
  return rows
}

/** Gives the backends of a service. Services of one pool share one list. */
function createExpander(pools: readonly BackendPool[]): (service: Service) => readonly Backend[] {
  const byName = new Map(pools.map(pool => [pool.metadata.name, pool]))
  return ({ spec, metadata }) => {
    const backends = spec.backends ?? byName.get(spec.pool ?? '')?.spec.backends
    if (backends === undefined) throw new TypeError(`Service ${metadata.name} has no backends`)
    return backends
  }
}
