import ipaddr from 'ipaddr.js'
import { compareAddresses } from '../../schemas/address.ts'
import type {
  BgpRouteRow,
  IpvsBackend,
  IpvsServiceRow,
  NodeTables,
  RowKey,
  XdpServiceRow,
} from '../../schemas/node-state.ts'
import type { Handover } from '../../schemas/want.ts'
import { diffNode } from './diff.ts'

/**
 * What goes, goes in steps that wait (rule 2): a route first asks routers to prefer others (RFC 8326), then is
 * withdrawn; a service that nobody is led to any more gets no new flows, and is removed when its connections have
 * ended or its time is up; so is a backend of IPVS. A service that moves between XDP and IPVS is served by both meanwhile:
 * the new one gets what begins, the old one keeps what it has. Here is what a node should hold at this moment, on its way
 * from what it holds to what is wanted. Nobody waits: the node looks again, and the answer is another one.
 */
export interface Step {
  /** Wanted, with what has not gone yet. The very `wanted` when nothing is on its way out. */
  readonly target: NodeTables
  /** What waits, in words. */
  readonly pending: readonly string[]
  /** When each began to go, ms since the epoch, by driver and key. To be remembered, or the time begins anew. */
  readonly leaving: Leaving
}

export type Leaving = Readonly<Record<string, number>>

/** Live connections of a service's backends: by address, in IPVS by address, a space and port. Null: nobody knows. */
export type CountConnections = (driver: 'xdp' | 'ipvs', key: RowKey) => ReadonlyMap<string, number> | null

export interface StepInput {
  readonly wanted: NodeTables
  readonly observed: NodeTables
  readonly connections: CountConnections
  readonly leaving: Leaving
  readonly handover: Handover
  /** Ms since the epoch. */
  readonly now: number
}

/** RFC 8326. */
export const GRACEFUL_SHUTDOWN = '65535:0'

/** The identity of a backend among those of a service of IPVS. */
const backendOf = ({ address, port }: IpvsBackend): string => `${address} ${port}`

/** Services that are observed and not wanted, or lose a backend of IPVS: those whose connections matter. */
export function findLeaving(wanted: NodeTables, observed: NodeTables): { xdp: RowKey[]; ipvs: RowKey[] } {
  const xdp = diffNode(wanted, observed).xdp.flatMap(edit =>
    edit.op === 'delete' && edit.before.kind === 'service' ? [edit.key] : [],
  )
  const ipvs = Object.entries(observed.ipvs).flatMap(([key, row]) => {
    if (row.kind !== 'service') return []
    const after = wanted.ipvs[key]
    return after === row || (after?.kind === 'service' && lost(row, after).length === 0) ? [] : [key]
  })
  return { xdp, ipvs }
}

const lost = (before: IpvsServiceRow, after: IpvsServiceRow): IpvsBackend[] => {
  const stays = new Set(after.backends.map(backendOf))
  return before.backends.filter(backend => !stays.has(backendOf(backend)))
}

export function planStep(input: StepInput): Step {
  const { wanted, observed } = input
  const services = findLeaving(wanted, observed)
  const routes = Object.entries(observed.bgp).flatMap(([key, row]) =>
    row.kind === 'route' && wanted.bgp[key] === undefined ? [{ key, row }] : [],
  )
  if (services.xdp.length + services.ipvs.length + routes.length === 0)
    return { target: wanted, pending: [], leaving: {} }

  const step = new Departure(input)
  for (const { key, row } of routes) step.withdraw(key, row)
  for (const key of services.xdp) step.removeXdpService(key)
  for (const key of services.ipvs) step.removeIpvsService(key)
  return step.finish()
}

interface MoveToXdp {
  readonly row: IpvsServiceRow
  readonly successor: XdpServiceRow
  readonly connections: ReadonlyMap<string, number> | null
}

class Departure {
  readonly #input: StepInput
  readonly #target: NodeTables
  readonly #pending: string[] = []
  readonly #leaving: Record<string, number> = {}
  /** Of routes that lead here still, though they are not wanted. */
  readonly #led: string[] = []

  constructor(input: StepInput) {
    this.#input = input
    const { xdp, ipvs, bgp } = input.wanted
    this.#target = { xdp: { ...xdp }, ipvs: { ...ipvs }, bgp: { ...bgp } }
  }

  withdraw(key: RowKey, row: BgpRouteRow): void {
    this.#led.push(row.prefix)
    const until = this.#since(`bgp ${key}`) + 1000 * this.#input.handover.shutdownTime
    if (row.peers.length === 0 || this.#input.now >= until) return
    const communities = [...new Set([...row.communities, GRACEFUL_SHUTDOWN])].sort()
    this.#target.bgp[key] = { ...row, communities }
    this.#pending.push(`${row.prefix} asks routers to prefer others, and is withdrawn at ${timeOf(until)}`)
  }

  removeXdpService(key: RowKey): void {
    const row = this.#input.observed.xdp[key] as XdpServiceRow
    if (this.#input.wanted.ipvs[key] !== undefined) {
      this.#moveToIpvs(key, row)
      return
    }
    if (this.#isLed(row.vip)) {
      this.#target.xdp[key] = row
      return
    }
    const left = sumOf(this.#input.connections('xdp', key))
    if (this.#mayStay('xdp', key, left))
      this.#target.xdp[key] = { ...row, backends: row.backends.map(drained) }
  }

  removeIpvsService(key: RowKey): void {
    const row = this.#input.observed.ipvs[key] as IpvsServiceRow
    const after = this.#input.wanted.ipvs[key]
    const connections = this.#input.connections('ipvs', key)
    if (after?.kind === 'service') {
      const staying = lost(row, after).filter(backend => {
        const name = backendOf(backend)
        return this.#mayStay('ipvs', `${key} ${name}`, connections?.get(name) ?? 0)
      })
      if (staying.length > 0)
        this.#target.ipvs[key] = {
          ...after,
          backends: [...after.backends, ...staying.map(drained)].sort(byIdentity),
        }
      return
    }
    const successor = this.#input.wanted.xdp[key]
    if (successor?.kind === 'service') {
      this.#moveToXdp(key, { row, successor, connections })
      return
    }
    if (row.match.by === 'address' && this.#isLed(row.match.vip)) this.#target.ipvs[key] = row
    else if (this.#mayStay('ipvs', key, sumOf(connections)))
      this.#target.ipvs[key] = { ...row, backends: row.backends.map(drained) }
  }

  /** XDP sees packets first: it lets new connections pass once IPVS stands, and goes when it has none left. */
  #moveToIpvs(key: RowKey, row: XdpServiceRow): void {
    const { handover, ...plain } = row
    const { ipvs } = this.#input.observed
    if (ipvs[key] === undefined || ipvs[`vip/${row.vip}`] === undefined) {
      this.#target.xdp[key] = plain
      this.#pending.push(`${key} goes to IPVS as soon as that serves it`)
      return
    }
    // All services of a VIP go at once: to one that XDP knows, it drops what is for none of its services.
    const together = this.#movingWith(row.vip)
    const begun = together.every(([, each]) => each.handover === 'to-ipvs')
    const left = together.reduce((sum, [name]) => sum + sumOf(this.#input.connections('xdp', name)), 0)
    if (begun && !this.#mayStay('xdp', key, left)) return
    this.#target.xdp[key] = { ...plain, handover: 'to-ipvs' }
    if (handover !== 'to-ipvs') this.#pending.push(`${key} goes to IPVS, which gets what is new`)
  }

  #movingWith(vip: string): [RowKey, XdpServiceRow][] {
    const { wanted, observed } = this.#input
    return Object.entries(observed.xdp).flatMap(([key, row]) =>
      row.kind === 'service' && row.vip === vip && wanted.xdp[key] === undefined ? [[key, row]] : [],
    )
  }

  /** XDP takes what is new, and lets what it does not know pass to IPVS, until that has no connections left. */
  #moveToXdp(key: RowKey, { row, successor, connections }: MoveToXdp): void {
    const { [key]: observed } = this.#input.observed.xdp
    const begun = observed?.kind === 'service' && observed.handover === 'from-ipvs'
    // Counted once nothing new can come.
    if (begun && !this.#mayStay('ipvs', key, sumOf(connections))) return
    this.#target.ipvs[key] = row
    this.#target.xdp[key] = { ...successor, handover: 'from-ipvs' }
    if (!begun) this.#pending.push(`${key} comes from IPVS, which keeps the connections that it has`)
  }

  /** What the rest needs stays as long as that: sessions for routes, the program, the addresses and sysctls for services. */
  finish(): Step {
    const { observed } = this.#input
    const { xdp, ipvs, bgp } = this.#target
    if (Object.values(bgp).some(row => row.kind === 'route'))
      for (const [key, row] of Object.entries(observed.bgp)) if (row.kind !== 'route') bgp[key] ??= row
    if (Object.values(xdp).some(row => row.kind === 'service'))
      for (const [key, row] of Object.entries(observed.xdp)) if (row.kind !== 'service') xdp[key] ??= row
    const vips = new Set(
      Object.values(ipvs).flatMap(row =>
        row.kind === 'service' && row.match.by === 'address' ? [row.match.vip] : [],
      ),
    )
    const isForwarding = Object.values(ipvs).some(row => row.kind === 'service')
    for (const [key, row] of Object.entries(observed.ipvs))
      if (row.kind === 'vip' ? vips.has(row.address) : row.kind !== 'service' && isForwarding)
        ipvs[key] ??= row
    return { target: this.#target, pending: this.#pending, leaving: this.#leaving }
  }

  #since(clock: string): number {
    const { leaving, now } = this.#input
    const since = leaving[clock] ?? now
    this.#leaving[clock] = since
    return since
  }

  #isLed(vip: string): boolean {
    const address = ipaddr.parse(vip)
    return this.#led.some(prefix => {
      const [network, bits] = ipaddr.parseCIDR(prefix)
      return network.kind() === address.kind() && address.match(network, bits)
    })
  }

  #mayStay(driver: 'xdp' | 'ipvs', name: string, connections: number): boolean {
    if (connections === 0) return false
    const until = this.#since(`${driver} ${name}`) + 1000 * this.#input.handover.drainTimeout
    if (this.#input.now >= until) return false
    const noun = connections === 1 ? 'connection' : 'connections'
    this.#pending.push(`${name} has ${connections} ${noun} left, and goes at ${timeOf(until)} at the latest`)
    return true
  }
}

const drained = <Backend extends { readonly weight: number }>(backend: Backend): Backend => ({
  ...backend,
  weight: 0,
})

const byIdentity = (a: IpvsBackend, b: IpvsBackend): number =>
  compareAddresses(a.address, b.address) || a.port - b.port

const sumOf = (connections: ReadonlyMap<string, number> | null): number =>
  [...(connections?.values() ?? [])].reduce((sum, count) => sum + count, 0)

const timeOf = (ms: number): string => new Date(ms).toISOString().slice(0, 19).concat('Z')
