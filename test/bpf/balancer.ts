import { accessCodec } from '../../reconciler/drivers/xdp/access-lists.ts'
import { encodeConfig } from '../../reconciler/drivers/xdp/config.ts'
import {
  encodeIndex,
  encodeRing,
  encodeServiceKey,
  FAR_PER_NEAR,
  type Member,
  type Ring,
  reasons,
  structs,
} from '../../reconciler/drivers/xdp/layout.ts'
import type { Descriptor } from '../../reconciler/drivers/xdp/libbpf/descriptor.ts'
import { countPossibleCpus } from '../../reconciler/drivers/xdp/libbpf/features.ts'
import { readMapInfo } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import {
  createMap,
  deleteEntry,
  lookupEntry,
  MapFlag,
  MapType,
  updateEntries,
  updateEntry,
} from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openObject } from '../../reconciler/drivers/xdp/libbpf/object.ts'
import { runProgram } from '../../reconciler/drivers/xdp/libbpf/test-run.ts'
import type { NextHop } from '../../reconciler/drivers/xdp/next-hops/choose-next-hops.ts'
import { encodeNextHop } from '../../reconciler/drivers/xdp/next-hops/refresh-next-hops.ts'
import { encodePortRanges } from '../../reconciler/drivers/xdp/port-ranges.ts'
import { quicCodec } from '../../reconciler/drivers/xdp/quic-lists.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { addressToBytes } from '../../schemas/address.ts'
import type { Access, FlowLimit, Gue, HashBy, Protocol, XdpSettingsRow } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { decodeFlow, encodeFlow, type FlowEntry } from './flow-entry.ts'

/** The program under test, loaded with maps of its own, attached to nothing. */

export const needsRoot = process.getuid?.() === 0 ? false : 'BPF needs root'

const BPF = new URL('../../bpf/', import.meta.url).pathname
export const objectFile = (program: string): string => `${BPF}build/${program}.bpf.o`

/** Does nothing when the objects are newer than their sources. */
export async function buildObjects(): Promise<void> {
  await runCommand('make', ['-s', '-C', BPF], { timeout: 60_000 })
}

export const ACTIONS = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const
export type Action = (typeof ACTIONS)[number]
export type Reason = (typeof reasons)[number]

/** Of how flows began, which `begun` tells. */
const BEGINNINGS: readonly Reason[] = ['flow_confirmed', 'flow_midway']

export interface ServiceFields {
  readonly vip: string
  readonly port: number
  readonly protocol: Protocol
  readonly members: Ring['members']
  /** The member index of every slot, or one for all. */
  readonly slots: number | Uint16Array
  readonly idleTimeout?: number
  /** Its encapsulation; IPIP when left out. */
  readonly gue?: Gue
  readonly encapsulation?: Ring['encapsulation']
  readonly hashBy?: HashBy
  /** The last of its ports, when it has more than one. */
  readonly endPort?: number
  readonly access?: Access
  readonly flowLimit?: FlowLimit
  readonly handover?: 'from-ipvs' | 'to-ipvs'
  /** Server ids in hex digits, by the index of the member. */
  readonly quic?: { readonly configId: number; readonly serverIds: Readonly<Record<number, string>> }
}

export interface BalancerFields {
  readonly services: readonly ServiceFields[]
  readonly settings?: Partial<XdpSettingsRow>
  readonly fleetKey?: Uint8Array
  readonly bucketKey?: bigint
  /** Of the flow table; a power of two. */
  readonly nearBuckets?: number
  /** Besides: FAR_PER_NEAR times as many, or none. */
  readonly hasFar?: boolean
  readonly halfOpenBuckets?: number
}

/** 16 bytes; nothing is special about them. */
export const FLEET_KEY = Uint8Array.from({ length: 16 }, (_, i) => 17 * i + 3)

export interface Balancer extends Disposable {
  /** The program's descriptor. */
  readonly fd: number
  send(frame: Uint8Array, context?: Uint8Array): { action: Action; frame: Buffer; duration: number }
  /** What was counted since the last call, without the zeros and without how flows began. */
  counted(): Partial<Record<Reason, number>>
  /** How many flows ever began, by how: see `flow_confirmed` and `flow_midway`. */
  begun(): { confirmed: number; midway: number }
  countedBytes(reason: Reason): number
  countedFor(member: Member): { packets: number; bytes: number; newFlows: number }
  /** Services are numbered in their order. */
  swapRing(service: number, fields: ServiceFields): Promise<void>
  removeService(fields: ServiceFields): void
  removeRing(service: number): void
  /** Of L2; null: it is not known. */
  setNextHop(backend: string, hop: NextHop | null): void
  /** A map of the program, by name. */
  mapFd(name: string): number
  flows(): FlowEntry[]
  /** Of connections of which only a SYN was seen. */
  halfOpen(): FlowEntry[]
  writeFlow(entry: FlowEntry): void
  writeHalfOpen(entry: FlowEntry): void
}

const SETTINGS: Omit<XdpSettingsRow, 'kind' | 'fleetKey'> = {
  fleet: 'test',
  sources: { ipv4: '10.64.0.1/32', ipv6: '2001:db8:64::1/128' },
  mtu: 1500,
  egress: 'hairpin',
  unmatched: 'drop',
  capacity: { flows: 64, services: 8, members: 1024 },
}

export const member = (address: string, fields: Partial<Member> = {}): Member => ({
  address,
  generation: 1,
  counter: 0,
  weight: 1,
  ...fields,
})

export async function openBalancer(fields: BalancerFields): Promise<Balancer> {
  const nearBuckets = fields.nearBuckets ?? 16
  const flowBuckets = nearBuckets * (fields.hasFar === false ? 1 : 1 + FAR_PER_NEAR)
  const halfOpenBuckets = fields.halfOpenBuckets ?? 16
  const object = openObject(objectFile('lb'), 'lb')
  try {
    object.setMaxEntries('flows', flowBuckets)
    object.setMaxEntries('half_open', halfOpenBuckets)
    object.setConstant(
      'config',
      encodeConfig({
        fleetKey: fields.fleetKey ?? FLEET_KEY,
        bucketKey: fields.bucketKey ?? 0x0123456789abcdefn,
        nearBuckets,
        halfOpenBuckets,
        settings: { ...SETTINGS, ...fields.settings },
      }),
    )
    await object.load()
  } catch (error) {
    object.close()
    throw error
  }
  const program = object.programFd('lb')
  const vips = object.mapFd('vips')
  const services = object.mapFd('services')
  const rings = object.mapFd('rings')
  const flows = object.mapFd('flows')
  const halfOpen = object.mapFd('half_open')
  const reasonCounters = object.mapFd('reason_counters')
  const memberCounters = object.mapFd('member_counters')
  const portRanges = object.mapFd('port_ranges')
  const accessPrefixes = object.mapFd('access_prefixes')
  const quicServers = object.mapFd('quic_servers')
  const seen = new Map<Reason, number>()

  async function installRings(rows: readonly (readonly [service: number, ServiceFields])[]) {
    const maps = rows.map(([id, service]) => createRing(service, listOf(id)))
    for (const [id, { access, quic }] of rows) {
      const entries = [
        ...(access ? accessCodec.encode(listOf(id), access) : []).map(entry => [accessPrefixes, ...entry]),
        ...(quic ? quicCodec.encode(listOf(id), padded(quic.serverIds)) : []).map(entry => [
          quicServers,
          ...entry,
        ]),
      ] as const
      for (const [map, key, value] of entries) updateEntry(map as number, key as Buffer, value as Buffer)
    }
    await updateEntries(rings, readMapInfo(rings), {
      count: rows.length,
      keys: Buffer.concat(rows.map(([id]) => encodeIndex(id))),
      values: Buffer.concat(maps.map(({ fd }) => encodeIndex(fd))),
    })
    for (const map of maps) map.close()
  }

  const countersOf = (reason: Reason) =>
    sumCounters(reasonCounters, reasons.indexOf(reason), structs.reason_counters.size)

  await installRings([...fields.services.entries()])
  for (const [id, service] of fields.services.entries()) {
    updateEntry(vips, addressToBytes(service.vip), encodeIndex(1))
    if (service.endPort === undefined) updateEntry(services, encodeServiceKey(service), encodeIndex(id))
  }
  const ranges = encodePortRanges([...fields.services.entries()].map(([id, key]) => ({ id, key })))
  for (const [key, value] of ranges.values()) updateEntry(portRanges, key, value)

  return {
    fd: program,
    send(frame, context) {
      const { result, packet, duration } = runProgram(program, frame, context && { context })
      return { action: ACTIONS[result] ?? 'aborted', frame: packet, duration }
    },
    counted() {
      const since: Partial<Record<Reason, number>> = {}
      for (const reason of reasons) {
        if (BEGINNINGS.includes(reason)) continue
        const [packets] = countersOf(reason)
        const grown = packets! - (seen.get(reason) ?? 0)
        if (grown !== 0) since[reason] = grown
        seen.set(reason, packets!)
      }
      return since
    },
    begun: () => ({
      confirmed: countersOf('flow_confirmed')[0]!,
      midway: countersOf('flow_midway')[0]!,
    }),
    countedBytes: reason => countersOf(reason)[1]!,
    countedFor({ counter }) {
      const [packets, bytes, newFlows] = sumCounters(memberCounters, counter, structs.member_counters.size)
      return { packets: packets!, bytes: bytes!, newFlows: newFlows! }
    },
    swapRing: (service, row) => installRings([[service, row]]),
    removeService: service => void deleteEntry(services, encodeServiceKey(service)),
    setNextHop(backend, hop) {
      const key = addressToBytes(backend)
      if (hop === null) deleteEntry(object.mapFd('next_hops'), key)
      else updateEntry(object.mapFd('next_hops'), key, encodeNextHop(hop))
    },
    mapFd: name => object.mapFd(name),
    removeRing: service => void deleteEntry(rings, encodeIndex(service)),
    flows: () => readEntries(flows, flowBuckets),
    halfOpen: () => readEntries(halfOpen, halfOpenBuckets),
    writeFlow: entry => writeEntry(flows, entry),
    writeHalfOpen: entry => writeEntry(halfOpen, entry),
    [Symbol.dispose]: () => object.close(),
  }
}

function readEntries(map: number, buckets: number): FlowEntry[] {
  return Array.from({ length: buckets }, (_, bucket) => decodeFlow(readBucket(map, bucket), bucket)).flat()
}

function writeEntry(map: number, entry: FlowEntry): void {
  const bytes = readBucket(map, entry.bucket)
  bytes.set(encodeFlow(entry), entry.way * structs.flow.size)
  updateEntry(map, encodeIndex(entry.bucket), bytes)
}

function readBucket(map: number, bucket: number): Buffer {
  const bytes = Buffer.alloc(structs.flow_bucket.size)
  lookupEntry(map, encodeIndex(bucket), bytes)
  return bytes
}

/** A list for each service, by its number. */
const listOf = (service: number): number => service + 1

const padded = (serverIds: Readonly<Record<number, string>>): Record<number, string> =>
  Object.fromEntries(Object.entries(serverIds).map(([index, id]) => [index, id.padEnd(16, '0')]))

function createRing(
  {
    vip,
    port,
    endPort,
    protocol,
    members,
    slots,
    idleTimeout,
    gue,
    encapsulation,
    hashBy,
    access,
    flowLimit,
    handover,
    quic,
  }: ServiceFields,
  list: number,
): Descriptor {
  const ring = createMap({
    type: MapType.array,
    name: 'ring',
    keySize: 4,
    valueSize: structs.ring.size,
    maxEntries: 1,
    flags: MapFlag.mmapable,
  })
  const bytes = encodeRing({
    generation: 1,
    encapsulation: encapsulation ?? (gue === undefined ? 'ipip' : 'gue'),
    ...(gue && { gue }),
    ...(hashBy && { hashBy }),
    idleTimeout: idleTimeout ?? 60,
    ...(access && { access: { list, otherwise: access.otherwise } }),
    ...(flowLimit && { flowLimit }),
    ...(handover && { handover }),
    ...(quic && {
      quic: { list, configId: quic.configId, idBytes: (Object.values(quic.serverIds)[0]?.length ?? 2) / 2 },
    }),
    key: { vip, port, protocol, ...(endPort !== undefined && { endPort }) },
    members,
    slots: typeof slots === 'number' ? new Uint16Array(RING_SLOTS).fill(slots) : slots,
  })
  updateEntry(ring.fd, encodeIndex(0), bytes)
  return ring
}

/** The `__u64` fields of a per-CPU value, each summed over all CPUs. */
function sumCounters(map: number, index: number, size: number): number[] {
  const cpus = countPossibleCpus()
  const bytes = Buffer.alloc(size * cpus)
  lookupEntry(map, encodeIndex(index), bytes)
  return Array.from({ length: size / 8 }, (_, field) => {
    let sum = 0n
    for (let cpu = 0; cpu < cpus; cpu++) sum += bytes.readBigUInt64LE(cpu * size + field * 8)
    return Number(sum)
  })
}
