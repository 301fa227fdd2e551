import { sha256 } from '../../../schemas/digest.ts'
import type { RowKey, XdpRow, XdpServiceRow, XdpSettingsRow } from '../../../schemas/node-state.ts'
import type { Facts } from '../../../schemas/report.ts'
import type { Digest } from '../../../schemas/want.ts'
import { fleetKeyFingerprint } from '../../ring/flow-hash.ts'
import { type Attachment, readLinkedInterfaces } from './attachments.ts'
import type { Breathe } from './breather.ts'
import { sizeMaps } from './capacity.ts'
import { completeRow } from './complete-row.ts'
import { readCpuReasons, sumCpuPackets, sumReasons } from './counters.ts'
import { type Dataplane, openDataplane } from './dataplane.ts'
import { fingerprintTables, NO_DATAPLANE } from './fingerprint.ts'
import { knowServices } from './known-services.ts'
import { FLOW_WAYS } from './layout.ts'
import { fitsSizes } from './load-program.ts'
import { l2Backends, readNextHopState } from './next-hops/refresh-next-hops.ts'
import type { NodePins } from './node-pins.ts'
import { isPinned } from './pin-dataplane.ts'
import type { KnownRing, RingStore } from './ring-store.ts'
import {
  countVips,
  decodeTables,
  findOrphanRings,
  readRaw,
  type ServiceEntry,
  type Tables,
} from './tables.ts'

export interface ObserveContext {
  readonly pins: NodePins
  readonly store: RingStore
  readonly breathe: Breathe
  /** Of the object file; undefined when it is missing. */
  readonly readObject: () => number | undefined
}

export interface Seen {
  readonly rows: ReadonlyMap<RowKey, XdpRow>
  readonly facts: Facts
  /** Of what was read. */
  readonly fingerprint: string
}

/** Reads back what the kernel has: nothing is taken from what was written. */
export async function observeXdp(context: ObserveContext): Promise<Seen> {
  const { pins, store } = context
  using dataplane = openDataplane(pins)
  if (dataplane === undefined)
    return { rows: new Map(), facts: { interfaces: {} }, fingerprint: NO_DATAPLANE }
  const raw = await readRaw(dataplane, context)
  const fingerprint = await fingerprintTables(context, dataplane, raw)
  const tables = decodeTables(dataplane, raw)
  const known = await knowServices(context, tables)
  store.keepOnly(tables.rings.values())

  const rows = new Map<RowKey, XdpRow>()
  const settings = observeSettings(context, dataplane)
  if (settings !== undefined) rows.set('settings', settings)
  const attachments = readLinkedInterfaces(pins, dataplane)
  for (const { row } of attachments) rows.set(`interface/${row.name}`, row)
  for (const [rowKey, entry] of tables.services) {
    rows.set(rowKey, observeService(entry, known.get(rowKey), tables))
  }
  const l2 = l2Backends(known)
  return {
    rows,
    fingerprint,
    facts: {
      ...describe(dataplane, store, { tables, known, attachments }),
      ...(l2.size > 0 && { nextHops: { ...(await readNextHopState(dataplane, l2)) } }),
    },
  }
}

/** Absent when a pin is missing, or when the program is another version's: creating them mends that. */
function observeSettings(
  { pins, readObject }: ObserveContext,
  dataplane: Dataplane,
): XdpSettingsRow | undefined {
  if (dataplane.config === undefined) return undefined
  const { object, fleetKey, settings } = dataplane.config
  if (!isPinned(pins, dataplane) || object !== (readObject() ?? object)) return undefined
  const { capacity } = settings
  return {
    kind: 'settings',
    ...settings,
    fleetKey: fleetKeyFingerprint(fleetKey),
    capacity: fitsSizes(dataplane, sizeMaps(capacity)) ? capacity : capacityOf(dataplane),
  }
}

/** What maps of these sizes are good for. */
const capacityOf = ({ maps }: Dataplane): XdpSettingsRow['capacity'] => ({
  flows: (maps.flows.info.maxEntries * FLOW_WAYS) / 2,
  services: Math.floor(maps.services.info.maxEntries / 2),
  members: Math.floor(maps.member_counters.info.maxEntries / 2),
})

/**
 * A service that is not whole has a ring of 0 slots: one without a ring, or whose VIP is missing. How many
 * services a VIP is said to have moves no packet, and is put right with the next change.
 */
function observeService({ key }: ServiceEntry, ring: KnownRing | undefined, tables: Tables): XdpServiceRow {
  if (ring === undefined) {
    const none = { slots: 0, differing: 0 }
    return { kind: 'service', ...key, encapsulation: 'ipip', ring: none, idleTimeout: 1, backends: [] }
  }
  const row = completeRow(ring, tables)
  return tables.vips.has(key.vip) ? row : { ...row, ring: { ...row.ring, slots: 0 } }
}

interface Parts {
  readonly tables: Tables
  readonly known: ReadonlyMap<RowKey, KnownRing>
  readonly attachments: readonly Attachment[]
}

function describe(dataplane: Dataplane, store: RingStore, { tables, known, attachments }: Parts): Facts {
  const used = new Set([...tables.services.values()].map(({ id }) => id))
  const counts = countVips(tables.services.values())
  const reasons = readCpuReasons(dataplane)
  return {
    interfaces: Object.fromEntries(
      attachments
        .filter(({ row }) => row.program === undefined)
        .map(({ row, programId }) => [row.name, { mode: row.attach, programId }]),
    ),
    program: { id: dataplane.program.id, tag: dataplane.program.tag },
    flows: {
      capacity: capacityOf(dataplane).flows,
      entries: dataplane.maps.flows.info.maxEntries * FLOW_WAYS,
    },
    reasons: sumReasons(reasons),
    /** Packets that each CPU sent to a backend. */
    cpus: sumCpuPackets(reasons),
    rings: digestRings(tables.services, known),
    /** Left by somebody else, or by a process that was killed; gone with the next change. */
    orphans: {
      services: tables.aliens.length,
      vips: [...tables.vips.keys()].filter(vip => !counts.has(vip)).length,
      rings: findOrphanRings(tables, used, store).length,
    },
  }
}

/** Equal on two nodes that choose the same backends for every service. */
function digestRings(services: Tables['services'], known: ReadonlyMap<RowKey, KnownRing>): Digest {
  const lines: string[] = []
  for (const rowKey of inOrder(services)) {
    const ring = known.get(rowKey)
    if (ring !== undefined) lines.push(`${rowKey} ${ring.digest}\n`)
  }
  return sha256(lines.join(''))
}

const orders = new WeakMap<Tables['services'], readonly RowKey[]>()

/** The order of the lines of `digestRings`: as no key is the beginning of another one, that of keys. */
function inOrder(services: Tables['services']): readonly RowKey[] {
  const known = orders.get(services) ?? [...services.keys()].sort()
  orders.set(services, known)
  return known
}
