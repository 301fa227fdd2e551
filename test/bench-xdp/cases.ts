import { FLOW_WAYS } from '../../reconciler/drivers/xdp/layout.ts'
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
const FLOW_BUCKETS = 2 ** 19
const HALF_OPEN_BUCKETS = 2 ** 12
const MANY_FLOWS = 2 ** 17
const ALL_FLOWS = 2 ** 23
/** Twice as many flows as there are entries. */
const FILLING = {
  packets: 2 * FLOW_WAYS * FLOW_BUCKETS,
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

export async function openTable(): Promise<Balancer> {
  return openBalancer({ services: services(), flowBuckets: FLOW_BUCKETS, halfOpenBuckets: HALF_OPEN_BUCKETS })
}

/** `driver` fills tables beforehand. */
export function makeCases(driver: Driver, { balancer, full }: CaseFields): Case[] {
  const packets = 64_000
  const one = { flows: 1, order: 'in order', from: 0, packets } as const
  const random = { flows: MANY_FLOWS, order: 'random', from: 0, packets: 2 * packets } as const
  const fresh = { flows: ALL_FLOWS, order: 'in order', packets: packets / 2 } as const
  const tcp4 = frameOf({ vip: VIP4, protocol: 'tcp' })
  const syn4 = frameOf({ vip: VIP4, protocol: 'tcp', tcpFlags: Tcp.syn })
  const udp4 = frameOf({ vip: VIP4, protocol: 'udp' })
  const tcp6 = frameOf({ vip: VIP6, protocol: 'tcp' })
  for (const frame of [tcp4, tcp6]) {
    driver.run(balancer.fd, { frame, flows: MANY_FLOWS, order: 'in order', from: 0, packets: MANY_FLOWS })
  }
  driver.run(full.fd, { frame: syn4, ...FILLING })

  const forwarded = { balancer, action: 'tx', isFresh: false } as const
  return [
    { ...forwarded, name: IPIP, traffic: { frame: tcp4, ...one } },
    { ...forwarded, name: 'tcp4_random', traffic: { frame: tcp4, ...random } },
    { ...forwarded, name: 'tcp4_new', traffic: { frame: syn4, ...fresh, from: 2 ** 18 }, isFresh: true },
    {
      ...forwarded,
      name: 'tcp4_new_full',
      balancer: full,
      traffic: { frame: syn4, ...fresh, from: FILLING.packets },
      isFresh: true,
    },
    {
      ...forwarded,
      name: 'tcp4_confirmed',
      traffic: { frame: tcp4, ...fresh, packets: packets / 8, from: 2 ** 22 },
      isFresh: true,
      before: syn4,
    },
    { ...forwarded, name: 'udp4', traffic: { frame: udp4, ...one } },
    { ...forwarded, name: 'udp4_new', traffic: { frame: udp4, ...fresh, from: 2 ** 20 }, isFresh: true },
    { ...forwarded, name: 'tcp6_established', traffic: { frame: tcp6, ...one } },
    { ...forwarded, name: 'tcp6_random', traffic: { frame: tcp6, ...random } },
    {
      ...forwarded,
      name: GUE,
      traffic: { frame: frameOf({ vip: VIP4_GUE, protocol: 'tcp' }), ...one },
    },
    {
      name: 'pass',
      balancer,
      action: 'pass',
      isFresh: false,
      traffic: { frame: frameOf({ vip: '10.99.99.99', protocol: 'tcp' }), ...one },
    },
  ]
}

interface CaseFields {
  readonly balancer: Balancer
  /** Another one, whose flow table will be full. */
  readonly full: Balancer
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
