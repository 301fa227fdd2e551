import type { RowKey } from '../../../schemas/node-state.ts'
import { knowServices } from './apply-services.ts'
import type { Breathe } from './breather.ts'
import { type Dataplane, openDataplane } from './dataplane.ts'
import { FlowState, isLive, scanFlows } from './flow-table.ts'
import { encodeIndex, type Member, reasons, structs } from './layout.ts'
import { countPossibleCpus } from './libbpf/features.ts'
import { lookupEntry, readEntries } from './libbpf/maps.ts'
import { membersIn } from './members.ts'
import type { NodePins } from './node-pins.ts'
import type { KnownRing, RingStore } from './ring-store.ts'
import { readTables } from './tables.ts'

export interface BackendCounters {
  readonly address: string
  /** Since it became a member of the service. */
  readonly packets: number
  /** Of inner IP packets. */
  readonly bytes: number
  readonly newFlows: number
  /** Live flows now; of TCP those of which no FIN or RST was seen. */
  readonly connections: number
}

export interface XdpCounters {
  readonly services: Readonly<Record<RowKey, readonly BackendCounters[]>>
  /** Entries of the flow table that are live, of removed members too. */
  readonly liveFlows: number
}

export interface CountersContext {
  readonly pins: NodePins
  readonly store: RingStore
  readonly breathe: Breathe
}

/** Reads every counter and the whole flow table, in slices: for metrics and drains, not for every look. */
export async function readCounters(context: CountersContext): Promise<XdpCounters> {
  using dataplane = openDataplane(context.pins)
  if (dataplane === undefined) return { services: {}, liveFlows: 0 }
  const known = await knowServices(context, await readTables(dataplane))
  const { connections, liveFlows } = await countConnections(dataplane, known, context.breathe)
  const count = await readMemberCounters(dataplane)
  const services = [...known].map(([rowKey, ring]) => {
    const backends = [...membersIn(ring.members)].map(member => ({
      address: member.address,
      ...count(member.counter),
      connections: connections.get(nameMember(member)) ?? 0,
    }))
    return [rowKey, backends] as const
  })
  return { services: Object.fromEntries(services), liveFlows }
}

/** By reason, those that were counted at all. */
export function readReasons({ maps }: Dataplane): Record<string, { packets: number; bytes: number }> {
  const { size } = structs.reason_counters
  const value = Buffer.alloc(size * countPossibleCpus())
  const counted = reasons.flatMap((reason, index) => {
    if (!lookupEntry(maps.reason_counters.fd, encodeIndex(index), value)) return []
    const [packets = 0, bytes = 0] = sumOverCpus(value, size)
    return packets === 0 ? [] : [[reason, { packets, bytes }] as const]
  })
  return Object.fromEntries(counted)
}

async function countConnections(
  { maps }: Dataplane,
  known: ReadonlyMap<RowKey, KnownRing>,
  breathe: Breathe,
): Promise<{ connections: ReadonlyMap<number, number>; liveFlows: number }> {
  const idleTicks = new Map<number, number>()
  for (const ring of known.values()) {
    for (const member of membersIn(ring.members)) {
      idleTicks.set(nameMember(member), (ring.idleTimeout * 1e9) / 2 ** 30)
    }
  }
  const connections = new Map<number, number>()
  let liveFlows = 0
  await scanFlows(maps.flows, breathe, flow => {
    if (!isLive(flow)) return
    liveFlows++
    if (flow.state === FlowState.fin) return
    const name = nameMember(flow)
    if (flow.state === FlowState.udp && flow.idle > (idleTicks.get(name) ?? 0)) return
    connections.set(name, (connections.get(name) ?? 0) + 1)
  })
  return { connections, liveFlows }
}

/** A member's number on this node: no two assignments have the same index and generation. */
const nameMember = ({ generation, index }: Pick<Member, 'generation'> & { index: number }): number =>
  generation * 4096 + index

async function readMemberCounters({ maps }: Dataplane) {
  const { size } = structs.member_counters
  const bytes = size * countPossibleCpus()
  const { keys, values } = await readEntries(maps.member_counters.fd, maps.member_counters.info, bytes)
  const places = new Map(Array.from({ length: keys.length / 4 }, (_, i) => [keys.readUInt32LE(4 * i), i]))
  return (counter: number) => {
    const place = places.get(counter)
    const value = place === undefined ? Buffer.alloc(0) : values.subarray(place * bytes, (place + 1) * bytes)
    const [packets = 0, sum = 0, newFlows = 0] = sumOverCpus(value, size)
    return { packets, bytes: sum, newFlows }
  }
}

/** Field by field of 64 bits. */
function sumOverCpus(value: Buffer, size: number): number[] {
  const sums = Array<number>(size / 8).fill(0)
  for (let at = 0; at < value.length; at += 8) sums[(at % size) / 8]! += Number(value.readBigUInt64LE(at))
  return sums
}
