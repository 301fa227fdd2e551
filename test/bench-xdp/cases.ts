import { FAR_PER_NEAR, FLOW_WAYS } from '../../reconciler/drivers/xdp/layout.ts'
import { buildRing } from '../../reconciler/ring/maglev.ts'
import type { Action, Balancer } from '../bpf/balancer.ts'
import { member, openBalancer, type ServiceFields } from '../bpf/balancer.ts'
import { buildFrame, type PacketFields, Tcp } from '../bpf/packet.ts'
import type { Driver, Traffic } from './drive.ts'

/** The traffic that is timed. */

const VIP4 = '10.200.1.1'
const VIP4_GUE = '10.200.1.2'
const VIP6 = 'fc00:1::1'
const PORT = 80
const BACKENDS = 100
/** For 1M live flows, as the worker sizes it. */
const NEAR_BUCKETS = 2 ** 17
const HALF_OPEN_BUCKETS = 2 ** 12
const MANY_FLOWS = 2 ** 17
const MILLION_FLOWS = 2 ** 20
const ALL_FLOWS = 2 ** 23
/** Twice as many flows as there are entries. */
const FILLING = {
  packets: 2 * FLOW_WAYS * (1 + FAR_PER_NEAR) * NEAR_BUCKETS,
  flows: ALL_FLOWS,
  order: 'in order',
  from: 0,
} as const

/** As tcp4_established, but for the encapsulation. */
export const GUE = 'tcp4_gue'
export const IPIP = 'tcp4_established'

export interface Case {
  readonly name: string
  readonly balancer: Balancer
  readonly traffic: Traffic
  readonly action: Action
  /** Every round takes other flows. */
  readonly isFresh: boolean
  /** What comes before it, of the same flows, and is not timed. */
  readonly before?: Buffer
}

/** Balancers with tables of their own, so that no case finds the flows of another one. */
export interface Tables extends Disposable {
  readonly tcp4: Balancer
  readonly tcp6: Balancer
  readonly fresh: Balancer
  readonly full: Balancer
  /** With as many live flows as the table is made for. */
  readonly million: Balancer
}

export async function openTables(): Promise<Tables> {
  using opened = new DisposableStack()
  const sizes = { nearBuckets: NEAR_BUCKETS, halfOpenBuckets: HALF_OPEN_BUCKETS }
  const open = async () => opened.use(await openBalancer({ services: services(), ...sizes }))
  const tables = {
    tcp4: await open(),
    tcp6: await open(),
    fresh: await open(),
    full: await open(),
    million: await open(),
  }
  const all = opened.move()
  return { ...tables, [Symbol.dispose]: () => all.dispose() }
}

/** `driver` fills tables beforehand. */
export function makeCases(driver: Driver, tables: Tables): Case[] {
  const packets = 64_000
  const one = { flows: 1, order: 'in order', from: 0, packets } as const
  const random = { flows: MANY_FLOWS, order: 'random', from: 0, packets: 2 * packets } as const
  const fresh = { flows: ALL_FLOWS, order: 'in order', packets: packets / 2 } as const
  const tcp4 = frameOf({ vip: VIP4, protocol: 'tcp' })
  const syn4 = frameOf({ vip: VIP4, protocol: 'tcp', tcpFlags: Tcp.syn })
  const udp4 = frameOf({ vip: VIP4, protocol: 'udp' })
  const tcp6 = frameOf({ vip: VIP6, protocol: 'tcp' })
  const fill = ({ fd }: Balancer, frame: Buffer, flows: number) =>
    driver.run(fd, { frame, flows, order: 'in order', from: 0, packets: flows })
  fill(tables.tcp4, tcp4, MANY_FLOWS)
  fill(tables.tcp6, tcp6, MANY_FLOWS)
  fill(tables.million, tcp4, MILLION_FLOWS)
  driver.run(tables.full.fd, { frame: syn4, ...FILLING })

  const forwarded = { balancer: tables.tcp4, action: 'tx', isFresh: false } as const
  const first = { balancer: tables.fresh, action: 'tx', isFresh: true } as const
  const forwarded6 = { ...forwarded, balancer: tables.tcp6 }
  return [
    { ...forwarded, name: IPIP, traffic: { frame: tcp4, ...one } },
    { ...forwarded, name: 'tcp4_random', traffic: { frame: tcp4, ...random } },
    {
      ...forwarded,
      name: 'tcp4_random_million',
      balancer: tables.million,
      traffic: { frame: tcp4, ...random, flows: MILLION_FLOWS },
    },
    { ...first, name: 'tcp4_new', traffic: { frame: syn4, ...fresh, from: 2 ** 18 } },
    {
      ...first,
      name: 'tcp4_new_full',
      balancer: tables.full,
      traffic: { frame: syn4, ...fresh, from: FILLING.packets },
    },
    {
      ...first,
      name: 'tcp4_confirmed',
      traffic: { frame: tcp4, ...fresh, packets: packets / 8, from: 2 ** 22 },
      before: syn4,
    },
    { ...forwarded, name: 'udp4', traffic: { frame: udp4, ...one } },
    { ...first, name: 'udp4_new', traffic: { frame: udp4, ...fresh, from: 2 ** 20 } },
    { ...forwarded6, name: 'tcp6_established', traffic: { frame: tcp6, ...one } },
    { ...forwarded6, name: 'tcp6_random', traffic: { frame: tcp6, ...random } },
    {
      ...forwarded,
      name: GUE,
      traffic: { frame: frameOf({ vip: VIP4_GUE, protocol: 'tcp' }), ...one },
    },
    {
      name: 'pass',
      balancer: tables.tcp4,
      action: 'pass',
      isFresh: false,
      traffic: { frame: frameOf({ vip: '10.99.99.99', protocol: 'tcp' }), ...one },
    },
  ]
}

function services(): ServiceFields[] {
  const backends = Array.from({ length: BACKENDS }, (_, i) => ({ address: `10.9.0.${i + 1}`, weight: 1 }))
  const backends6 = backends.map((_, i) => ({ address: `fc00:9::${(i + 1).toString(16)}`, weight: 1 }))
  return [
    { vip: VIP4, protocol: 'tcp', backends },
    { vip: VIP4, protocol: 'udp', backends },
    { vip: VIP4_GUE, protocol: 'tcp', backends, gue: { variant: 1, port: 6080 } },
    { vip: VIP6, protocol: 'tcp', backends: backends6 },
    { vip: VIP6, protocol: 'udp', backends: backends6 },
  ].map(({ backends, ...key }, service) => ({
    ...(key as Pick<ServiceFields, 'vip' | 'protocol' | 'gue'>),
    port: PORT,
    members: backends.map(({ address }, i) => member(address, { counter: service * BACKENDS + i })),
    slots: buildRing(backends),
  }))
}

/** TCP leaves 42 or 22 bytes of 96 for data. */
function frameOf(fields: Pick<PacketFields, 'vip' | 'protocol' | 'tcpFlags'>): Buffer {
  const source = fields.vip.includes(':') ? 'fc00:2::b00:0' : '11.0.0.0'
  const packet = { ...fields, source, sourcePort: 20_000, port: PORT }
  const bare = buildFrame(packet)
  return buildFrame({ ...packet, payload: Buffer.alloc(96 - bare.length) })
}
