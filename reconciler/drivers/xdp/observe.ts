import type { RowKey, XdpRow, XdpSettingsRow } from '../../../schemas/node-state.ts'
import type { Facts } from '../../../schemas/report.ts'
import type { Digest } from '../../../schemas/want.ts'
import type { Breathe } from '../../process/breather.ts'
import { fleetKeyFingerprint } from '../../ring/flow-hash.ts'
import { type Attachment, readLinkedInterfaces } from './attachments.ts'
import { flowsIn, sizeMaps } from './capacity.ts'
import { readCpuReasons, sumCpuPackets, sumReasons } from './counters.ts'
import { type Dataplane, openDataplane } from './dataplane.ts'
import { createRingsDigest, type DigestRings } from './digest-rings.ts'
import { fingerprintTables, NO_DATAPLANE } from './fingerprint.ts'
import { createKeyFollower } from './follow-keys.ts'
import { type KnownServices, knowServices } from './known-services.ts'
import { FLOW_WAYS } from './layout.ts'
import { fitsSizes } from './load-program.ts'
import { l2Backends, readNextHopState } from './next-hops/refresh-next-hops.ts'
import type { NodePins } from './node-pins.ts'
import { createServiceObserver, type ObserveServices, type ServiceRows } from './observe-services.ts'
import { isPinned } from './pin-dataplane.ts'
import type { RingStore } from './ring-store.ts'
import { decodeTables, findOrphanRings, readRaw, summariseServices, type Tables } from './tables.ts'

export interface ObserveContext {
  readonly pins: NodePins
  readonly store: RingStore
  readonly breathe: Breathe
  /** Of the object file; undefined when it is missing. */
  readonly readObject: () => number | undefined
}

/** What is remembered from look to look. */
export interface Observer {
  readonly observeServices: ObserveServices
  readonly digestRings: DigestRings
  /** Those that are reached by link addresses. */
  readonly followL2: (known: KnownServices) => ReadonlySet<RowKey>
}

export const createObserver = (): Observer => ({
  observeServices: createServiceObserver(),
  digestRings: createRingsDigest(),
  followL2: createKeyFollower(({ row }) => row.encapsulation === 'l2'),
})

export interface Seen {
  readonly services: ServiceRows
  /** Settings and interfaces. */
  readonly others: ReadonlyMap<RowKey, XdpRow>
  readonly facts: Facts
  /** Of what was read. */
  readonly fingerprint: string
}

/** Reads back what the kernel has: nothing is taken from what was written. */
export async function observeXdp(context: ObserveContext, observer: Observer): Promise<Seen> {
  const { pins, store, breathe } = context
  using dataplane = openDataplane(pins)
  if (dataplane === undefined) {
    const nothing = new Map<RowKey, never>()
    return { services: nothing, others: nothing, facts: { interfaces: {} }, fingerprint: NO_DATAPLANE }
  }
  const raw = await readRaw(dataplane, context)
  await breathe()
  const fingerprint = await fingerprintTables(context, dataplane, raw)
  await breathe()
  const tables = await decodeTables(dataplane, raw, breathe)
  const known = await knowServices(context, tables)
  store.keepOnly(tables.rings)
  await breathe()

  const others = new Map<RowKey, XdpRow>()
  const settings = observeSettings(context, dataplane)
  if (settings !== undefined) others.set('settings', settings)
  const attachments = readLinkedInterfaces(pins, dataplane)
  for (const { row } of attachments) others.set(`interface/${row.name}`, row)
  const services = await observer.observeServices(tables, known, breathe)
  await breathe()
  const l2 = l2Backends(known, observer.followL2(known))
  const rings = await observer.digestRings(tables.services, known, breathe)
  await breathe()
  return {
    services,
    others,
    fingerprint,
    facts: {
      ...describe(dataplane, store, { tables, rings, attachments }),
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
  flows: flowsIn(maps.flows.info.maxEntries),
  services: Math.floor(maps.services.info.maxEntries / 2),
  members: Math.floor(maps.member_counters.info.maxEntries / 2),
})

interface Parts {
  readonly tables: Tables
  /** Of the rings of all services. */
  readonly rings: Digest
  readonly attachments: readonly Attachment[]
}

function describe(dataplane: Dataplane, store: RingStore, { tables, rings, attachments }: Parts): Facts {
  const { used, counts } = summariseServices(tables.services)
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
    rings,
    /** Left by somebody else, or by a process that was killed; gone with the next change. */
    orphans: {
      services: tables.aliens.length,
      vips: [...tables.vips.keys()].filter(vip => !counts.has(vip)).length,
      rings: findOrphanRings(tables, used, store).length,
    },
  }
}
