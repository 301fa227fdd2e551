import type { BgpRow, IpvsRow, NodeTables } from '../../schemas/node-state.ts'
import { backend, serviceRow, settingsRow, tablesOf } from './rows.ts'

const PEER: BgpRow = {
  kind: 'peer',
  name: 'tor',
  address: '10.0.0.1',
  localAddress: '',
  asn: 64512,
  port: 179,
  password: null,
  ttl: 1,
  bfd: null,
  timers: { hold: 9, keepalive: 3, retry: 5 },
  gracefulRestart: 0,
  families: ['ipv4'],
  exportLimit: 100,
}

const routeRow = (prefix: string): BgpRow => ({
  kind: 'route',
  prefix,
  peers: ['tor'],
  communities: ['64512:1'],
  largeCommunities: [],
  med: null,
  localPreference: null,
  prepend: 0,
})

const ipvsRow = (vip: string, addresses: readonly string[]): IpvsRow => ({
  kind: 'service',
  match: { by: 'address', vip, port: 80, protocol: 'tcp' },
  scheduler: 'mh',
  schedulerFlags: { port: true, fallback: true },
  persistence: null,
  onePacket: false,
  backends: addresses.map(address => ({
    address,
    port: 80,
    weight: 100,
    forwarding: { method: 'l2' },
    upper: 0,
    lower: 0,
  })),
})

/** A VIP as a node serves it. */
export interface Offer {
  readonly vip: string
  readonly dataplane: 'xdp' | 'ipvs'
  readonly announced: boolean
  readonly backends: readonly string[]
}

/** What a node holds that serves these. */
export function tablesFor(offers: readonly Offer[]): NodeTables {
  const tables = tablesOf(...(offers.some(({ dataplane }) => dataplane === 'xdp') ? [settingsRow()] : []))
  for (const { vip, dataplane, announced, backends } of offers) {
    const key = `service/${vip}:80/tcp`
    if (dataplane === 'xdp')
      tables.xdp[key] = serviceRow(
        vip,
        backends.map(each => backend(each)),
      )
    else {
      tables.ipvs['sysctl/net.ipv4.vs.sloppy_tcp'] = {
        kind: 'sysctl',
        name: 'net.ipv4.vs.sloppy_tcp',
        value: '1',
      }
      tables.ipvs[key] = ipvsRow(vip, backends)
      tables.ipvs[`vip/${vip}`] = { kind: 'vip', address: vip, interface: 'lo' }
    }
    if (announced) tables.bgp[`route/${vip}/32`] = routeRow(`${vip}/32`)
  }
  if (Object.keys(tables.bgp).length > 0) tables.bgp['peer/tor'] = PEER
  return tables
}
