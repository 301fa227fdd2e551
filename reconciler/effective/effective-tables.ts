import { serviceId } from '../../schemas/address.ts'
import type { IpvsRow, IpvsServiceRow, NodeTables, XdpRow, XdpServiceRow } from '../../schemas/node-state.ts'
import { announcedRoutes } from './announced-routes.ts'

/**
 * Share of its weight that a backend deserves by its health, 0 to 1. Health is not policy (rule 6): it
 * scales what the drivers get and never becomes desired state.
 */
export type HealthView = (service: string, address: string) => number

/** The view of a fleet without health checks. */
export const allHealthy: HealthView = () => 1

/** Desired × health: what the drivers are asked for. Drain is policy, already a weight of 0 in `desired`. */
export function effectiveTables(desired: NodeTables, health: HealthView): NodeTables {
  if (health === allHealthy) return decideRoutes(desired)
  const xdp: Record<string, XdpRow> = {}
  for (const [key, row] of Object.entries(desired.xdp)) {
    xdp[key] = row.kind === 'service' ? effectiveService(row, health) : row
  }
  const ipvs: Record<string, IpvsRow> = {}
  for (const [key, row] of Object.entries(desired.ipvs)) {
    ipvs[key] = row.kind === 'service' ? effectiveIpvsService(key, row, health) : row
  }
  return decideRoutes({ ...desired, xdp, ipvs })
}

function decideRoutes(tables: NodeTables): NodeTables {
  const bgp = announcedRoutes(tables)
  return bgp === tables.bgp ? tables : { ...tables, bgp }
}

function effectiveService(row: XdpServiceRow, health: HealthView): XdpServiceRow {
  const service = serviceId(row.vip, row.port, row.protocol, row.endPort)
  const backends = row.backends.map(backend => ({
    ...backend,
    weight: Math.round(backend.weight * health(service, backend.address)),
  }))
  return { ...row, backends }
}

/** One by firewall mark is called by its key. */
function effectiveIpvsService(key: string, row: IpvsServiceRow, health: HealthView): IpvsServiceRow {
  const service = key.replace(/^service\//, '')
  const backends = row.backends.map(backend => ({
    ...backend,
    weight: Math.round(backend.weight * health(service, backend.address)),
  }))
  return { ...row, backends }
}
