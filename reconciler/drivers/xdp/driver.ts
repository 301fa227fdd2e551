import { accessSync, constants } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { changeTable, type TableChange } from '../../../schemas/changed-table.ts'
import type { Edit, EditOutcome } from '../../../schemas/edit.ts'
import type { RowKey, Table, XdpRow } from '../../../schemas/node-state.ts'
import type { TrafficCounts } from '../../../schemas/traffic-counts.ts'
import { type Breathe, createBreather } from '../../process/breather.ts'
import { joinIterables } from '../../process/join-iterables.ts'
import { watchNetwork } from '../../process/watch-network.ts'
import { createRingCache } from '../../ring/ring-cache.ts'
import type { Capabilities, Driver } from '../driver.ts'
import { createTableDigest, digestRow, digestTable } from '../table-digest.ts'
import { createTurns } from '../turns.ts'
import { applyXdp } from './apply.ts'
import { changedSince } from './changed-map.ts'
import { readCpuReasons, readXdpCounters, sumReasons, type XdpCounters } from './counters.ts'
import { openDataplane } from './dataplane.ts'
import { fingerprintXdp } from './fingerprint.ts'
import { findMissingFeature } from './libbpf/features.ts'
import { isBpfFileSystem } from './libbpf/pins.ts'
import { followNextHops } from './next-hops/follow-next-hops.ts'
import { keepNextHops } from './next-hops/keep-next-hops.ts'
import { nodePins } from './node-pins.ts'
import { createNumbersInUse } from './numbers-in-use.ts'
import { createObserver, observeXdp } from './observe.ts'
import type { ServiceRows } from './observe-services.ts'
import { createObjectReader } from './program-object.ts'
import { createRingStore } from './ring-store.ts'
import { trafficOf } from './traffic-counts.ts'
import { watchAttachments } from './watch-attachments.ts'

export interface XdpDriverOptions {
  /** Its pins are under `<bpffs>/ballast/<node>`. */
  readonly node: string
  /** A BPF file system, for instance /sys/fs/bpf; mounted there when it is none and this is root. */
  readonly bpffs: string
  /** bpf/build/lb.bpf.o */
  readonly objectFile: string
  /** 16 bytes, or as many in hex digits. Without one the key comes from the fleet's name. */
  readonly fleetKeyFile?: string
}

export interface XdpDriver extends Driver<XdpRow> {
  /**
   * Packets, bytes and connections of every backend, and how full the flow table is. Reads the whole flow
   * table.
   */
  readCounters(): Promise<XdpCounters>
  /** Cheap. Null: nothing is loaded. */
  countTraffic(): Promise<TrafficCounts | null>
  /**
   * Looks up the link addresses of backends with `forwarding: l2` again, and gives them by backend, null for those that are not
   * known; cheap when there are none.
   */
  refreshNextHops(): Promise<ReadonlyMap<string, string | null>>
  /** Does that again and again, and whenever the kernel tells of a neighbour that matters. */
  followNextHops(onError: (error: unknown) => void): { stop(): Promise<void> }
}

/** Rings remembered so that services with the same backends, and looks at the same rings, compute one. */
const RINGS_KEPT = 256

/**
 * The driver of the XDP dataplane, for the network namespace of this process. What it remembers between calls
 * is what the kernel cannot change: the content of frozen maps, by their ids.
 */
export function createXdpDriver(options: XdpDriverOptions): XdpDriver {
  const { node, bpffs, objectFile, fleetKeyFile } = options
  const ringOf = createRingCache(RINGS_KEPT)
  const context = {
    pins: nodePins(bpffs, node),
    objectFile,
    fleetKeyFile,
    store: createRingStore(ringOf),
    numbers: createNumbersInUse(),
    readObject: createObjectReader(objectFile),
  }
  const digestRows = createTableDigest()
  const observer = createObserver()
  let last: LastSeen = { table: {}, services: new Map(), others: new Map() }
  const inTurn = createTurns()
  /** One for all: what the caller did in this turn counts. */
  const breathe = createBreather()
  /** As far as was seen last: to look each second whether there is one costs more than all other looks. */
  let hasNextHops = true
  const refreshNextHops: XdpDriver['refreshNextHops'] = async () =>
    hasNextHops
      ? inTurn(async () => {
          const kept = await keepNextHops({ ...context, breathe })
          hasNextHops = kept.size > 0
          return kept
        })
      : new Map()
  return {
    name: 'xdp',
    capabilities: async () => findCapabilities(options),
    observe: keys =>
      inTurn(async () => {
        const seen = await observeXdp({ ...context, breathe }, observer)
        hasNextHops ||= seen.facts.nextHops !== undefined
        const { services, others, facts, fingerprint } = seen
        const change = await compareSeen(last, seen, breathe)
        last = { table: changeTable(last.table, change), services, others }
        const { table } = last
        if (keys === undefined) return { rows: table, facts, fingerprint, digest: digestRows(table) }
        const asked = Object.fromEntries(
          keys.flatMap(key => {
            const row = services.get(key) ?? others.get(key)
            return row === undefined ? [] : [[key, row]]
          }),
        )
        return { rows: asked, facts, fingerprint, digest: digestTable(asked) }
      }),
    fingerprint: () => inTurn(() => fingerprintXdp({ ...context, breathe })),
    apply: (edits: readonly Edit<XdpRow>[], signal: AbortSignal): Promise<EditOutcome[]> =>
      inTurn(() => applyXdp({ ...context, breathe, signal }, edits)),
    connections: keys =>
      inTurn(async () => {
        const { services } = await readXdpCounters({ ...context, breathe })
        return new Map(
          keys.map(key => [
            key,
            new Map((services[key] ?? []).map(({ address, connections }) => [address, connections])),
          ]),
        )
      }),
    readCounters: () => inTurn(() => readXdpCounters({ ...context, breathe })),
    // Not in turn: a report does not wait for a walk through the flow table.
    async countTraffic() {
      using dataplane = openDataplane(context.pins)
      return dataplane === undefined ? null : trafficOf(sumReasons(readCpuReasons(dataplane)))
    },
    async *watch(signal) {
      const changes = [watchNetwork(['link'], signal), watchAttachments(context.pins, signal)]
      for await (const _ of joinIterables<unknown>(changes)) yield { reason: 'an interface changed' }
    },
    refreshNextHops,
    followNextHops: onError =>
      followNextHops({
        refresh: refreshNextHops,
        watch: signal => watchNetwork(['neigh'], signal),
        onError,
      }),
    close: async () => {},
  }
}

/** Rows, and the table of them that is made of the one before. */
interface LastSeen {
  readonly table: Table<XdpRow>
  readonly services: ServiceRows
  readonly others: ReadonlyMap<RowKey, XdpRow>
}

type Rows = Pick<LastSeen, 'services' | 'others'>

/** In slices, also for the digests of the rows that are new. */
async function compareSeen(before: Rows, after: Rows, breathe: Breathe): Promise<TableChange<XdpRow>> {
  const put: Record<RowKey, XdpRow> = {}
  const removed: RowKey[] = []
  for (const key of changedSince(before.services, after.services) ??
    new Set([...before.services.keys(), ...after.services.keys()])) {
    await breathe()
    const [was, row] = [before.services.get(key), after.services.get(key)]
    if (row === undefined) removed.push(key)
    // They are the same objects where their rings are.
    else if (row !== was) put[key] = row
  }
  for (const [key, row] of after.others) {
    const was = before.others.get(key)
    if (row !== was && !isDeepStrictEqual(row, was)) put[key] = row
  }
  removed.push(...[...before.others.keys()].filter(key => !after.others.has(key)))
  for (const row of Object.values(put)) {
    await breathe()
    digestRow(row)
  }
  return { put, removed }
}

function findCapabilities({ bpffs, objectFile }: XdpDriverOptions): Capabilities {
  try {
    const missing = findMissingFeature()
    if (missing !== '') return { available: false, reason: missing }
    accessSync(objectFile, constants.R_OK)
  } catch (error) {
    const reason =
      error instanceof BallastError
        ? `${error.message}. ${error.hint}`
        : `The BPF object ${objectFile} cannot be read. Build it: make -C bpf`
    return { available: false, reason }
  }
  if (isBpfFileSystem(bpffs) || process.geteuid?.() === 0) return { available: true, reason: '' }
  return {
    available: false,
    reason: `${bpffs} is no BPF file system. Mount one as root: mount -t bpf bpf ${bpffs}`,
  }
}
