import { serviceId } from '../../schemas/address.ts'
import type {
  IpvsProtocol,
  IpvsServiceRow,
  NodeTables,
  RowBackend,
  RowKey,
  XdpServiceRow,
} from '../../schemas/node-state.ts'

/** A service of whatever dataplane, as far as a plan has to know. */
export interface ServiceView {
  readonly row: XdpServiceRow | IpvsServiceRow
  readonly dataplane: 'xdp' | 'ipvs'
  readonly vip: string
  readonly port: number
  /** The last of its ports, when it has more than one. */
  readonly endPort?: number
  readonly protocol: IpvsProtocol
  /** By address; one of IPVS that has a port of its own as `address:port`. */
  readonly backends: readonly RowBackend[]
}

const views = new WeakMap<object, ServiceView>()

/** Null: no service has this key here. One that moves between dataplanes is in IPVS: the one that answers while both stand. */
export function viewService(tables: NodeTables, key: RowKey): ServiceView | null {
  const row = tables.ipvs[key] ?? tables.xdp[key]
  if (row?.kind !== 'service') return null
  const known = views.get(row)
  if (known !== undefined) return known
  const view = 'match' in row ? viewIpvs(row) : viewXdp(row)
  if (view !== null) views.set(row, view)
  return view
}

const viewXdp = (row: XdpServiceRow): ServiceView => ({
  row,
  dataplane: 'xdp',
  vip: row.vip,
  port: row.port,
  ...(row.endPort !== undefined && { endPort: row.endPort }),
  protocol: row.protocol,
  backends: row.backends,
})

function viewIpvs(row: IpvsServiceRow): ServiceView | null {
  const { match } = row
  if (match.by !== 'address') return null
  const { vip, port, protocol } = match
  const backends = row.backends.map(each => ({
    address: each.port === port ? each.address : endpoint(each.address, each.port),
    weight: each.weight,
  }))
  return { row, dataplane: 'ipvs', vip, port, protocol, backends }
}

const endpoint = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

export const idOf = ({
  vip,
  port,
  endPort,
  protocol,
}: Pick<ServiceView, 'vip' | 'port' | 'endPort' | 'protocol'>): string =>
  serviceId(vip, port, protocol, endPort)
