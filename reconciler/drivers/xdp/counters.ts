import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { type Dataplane, openDataplane } from './dataplane.ts'
import { type FlowEntry, FlowState, isLive, scanFlows } from './flow-table.ts'
import { knowServices } from './known-services.ts'
import { type Member, reasons } from './layout.ts'
import { countPossibleCpus } from './libbpf/features.ts'
import { readCpuCounters, readManyCounters } from './member-counters.ts'
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
  readonly services: Record<RowKey, BackendCounters[]>
  /** Entries of the flow table that are live, of removed members too. */
  readonly liveFlows: number
}

export interface CountersContext {
  readonly pins: NodePins
  readonly store: RingStore
  readonly breathe: Breathe
}

/** Reads every counter and the whole flow table, in slices: for metrics and drains, not for every look. */
export async function readXdpCounters(context: CountersContext): Promise<XdpCounters> {
  using dataplane = openDataplane(context.pins)
  if (dataplane === undefined) return { services: {}, liveFlows: 0 }
  const known = await knowServices(
    context,
    await readTables(dataplane, { breathe: context.breathe, reader: context }),
  )
  const { connections: open, liveFlows } = await countConnections(dataplane, known, context.breathe)
  const { fields, sums } = await readManyCounters(
    dataplane.maps.member_counters,
    await lastCounter(known, context.breathe),
    context.breathe,
  )
  const services: Record<RowKey, BackendCounters[]> = {}
  for (const [rowKey, ring] of known) {
    await context.breathe()
    const counted: BackendCounters[] = []
    for (const [index, member] of ring.members.entries()) {
      if (member === undefined) continue
      const { address, generation, counter } = member
      const connections = open.get(nameMember({ generation, index })) ?? 0
      const at = counter * fields
      const [packets, bytes, newFlows] = [sums[at] ?? 0, sums[at + 1] ?? 0, sums[at + 2] ?? 0]
      counted.push({ address, packets, bytes, newFlows, connections })
    }
    services[rowKey] = counted
  }
  return { services, liveFlows }
}

async function lastCounter(known: ReadonlyMap<RowKey, KnownRing>, breathe: Breathe): Promise<number> {
  let last = 0
  for (const { members } of known.values()) {
    await breathe()
    for (const member of members) last = Math.max(last, member?.counter ?? 0)
  }
  return last
}

/** What each CPU counted, by reason. */
export type CpuReasons = ReadonlyMap<string, readonly (readonly number[])[]>

/** In one read. */
export const readCpuReasons = ({ maps }: Dataplane): CpuReasons =>
  new Map(
    readCpuCounters(maps.reason_counters).flatMap((cpus, index) =>
      reasons[index] === undefined ? [] : [[reasons[index], cpus] as const],
    ),
  )

/** By reason, those that were counted at all. */
export function sumReasons(counted: CpuReasons): Record<string, { packets: number; bytes: number }> {
  const sums = Array.from(counted, ([reason, cpus]) => {
    const sum = { packets: 0, bytes: 0 }
    for (const [packets = 0, bytes = 0] of cpus) {
      sum.packets += packets
      sum.bytes += bytes
    }
    return [reason, sum] as const
  })
  return Object.fromEntries(sums.filter(([, { packets }]) => packets > 0))
}

/** Packets that each CPU sent to a backend. */
export function sumCpuPackets(counted: CpuReasons): number[] {
  const packets = Array<number>(countPossibleCpus()).fill(0)
  for (const [reason, cpus] of counted) {
    if (!reason.startsWith('forwarded_')) continue
    for (const [cpu, [sent = 0]] of cpus.entries()) packets[cpu]! += sent
  }
  return packets
}

async function countConnections(
  { maps }: Dataplane,
  known: ReadonlyMap<RowKey, KnownRing>,
  breathe: Breathe,
): Promise<{ connections: ReadonlyMap<number, number>; liveFlows: number }> {
  let idleTicks: ReadonlyMap<number, number> | null = null
  const connections = new Map<number, number>()
  let liveFlows = 0
  const count = (flow: FlowEntry): void => {
    if (!isLive(flow)) return
    liveFlows++
    if (flow.state === FlowState.fin) return
    const name = nameMember(flow)
    if (flow.state === FlowState.udp) {
      idleTicks ??= idleTicksOf(known.values())
      if (flow.idle > (idleTicks.get(name) ?? 0)) return
    }
    connections.set(name, (connections.get(name) ?? 0) + 1)
  }
  await scanFlows(maps.flows, breathe, count)
  if (maps.half_open !== undefined) await scanFlows(maps.half_open, breathe, count)
  return { connections, liveFlows }
}

/** Of each member of theirs, how long a UDP flow counts after its last packet. */
function idleTicksOf(rings: Iterable<KnownRing>): ReadonlyMap<number, number> {
  const ticks = new Map<number, number>()
  for (const { members, idleTimeout } of rings)
    for (const member of membersIn(members)) ticks.set(nameMember(member), (idleTimeout * 1e9) / 2 ** 30)
  return ticks
}

/** A member's number on this node: no two assignments have the same index and generation. */
const nameMember = ({ generation, index }: Pick<Member, 'generation'> & { index: number }): number =>
  generation * 4096 + index
