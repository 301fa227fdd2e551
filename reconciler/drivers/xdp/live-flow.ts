import type { NodeTables, XdpRow } from '../../../schemas/node-state.ts'
import { createBreather } from '../../process/breather.ts'
import { findService } from '../../ring/find-service.ts'
import { type FleetKey, type FlowTuple, flowHash, splitFleetKey } from '../../ring/flow-hash.ts'
import { createRingCache } from '../../ring/ring-cache.ts'
import { openDataplane, readControl } from './dataplane.ts'
import { FlowState, findFlow } from './flow-table.ts'
import { knowServices } from './known-services.ts'
import { membersIn } from './members.ts'
import { nodePins } from './node-pins.ts'
import { createObserver, observeXdp } from './observe.ts'
import { createRingStore } from './ring-store.ts'
import { readTables } from './tables.ts'

/** What a node holds, and the entry that it has for one flow. */
export interface LiveFlow {
  readonly rows: NodeTables['xdp']
  readonly fleetKey: FleetKey
  readonly entry: {
    readonly state: keyof typeof FlowState
    /** Seconds since its last packet. */
    readonly idle: number
    /** Null: its backend left the service, or it is a UDP flow that is forgotten; the next packet goes by the ring. */
    readonly backend: string | null
  } | null
}

const SECONDS_A_TICK = 2 ** 30 / 1e9
/** One look needs few. */
const RINGS_KEPT = 16

/** Reads the kernel of this machine; null when no program of the node is loaded. */
export async function readLiveFlow(
  { bpffs, node }: { bpffs: string; node: string },
  tuple: FlowTuple,
): Promise<LiveFlow | null> {
  const pins = nodePins(bpffs, node)
  using dataplane = openDataplane(pins)
  if (dataplane?.config === undefined) return null
  const store = createRingStore(createRingCache(RINGS_KEPT))
  const context = { pins, store, breathe: createBreather(), readObject: () => undefined }
  const { services, others } = await observeXdp(context, createObserver())
  const fleetKey = splitFleetKey(dataplane.config.fleetKey)
  const live = { rows: Object.fromEntries<XdpRow>([...services, ...others]), fleetKey }
  const found = findFlow(dataplane, flowHash(fleetKey, tuple), readControl(dataplane).bucketKey)
  if (found === undefined) return { ...live, entry: null }

  const known = await knowServices(context, await readTables(dataplane, context))
  const service = findService(live.rows, tuple)
  const ring = service === null ? undefined : known.get(service.key)
  const { index, generation } = found
  const member = [...membersIn(ring?.members ?? [])].find(
    each => each.index === index && each.generation === generation,
  )
  const idle = found.idle * SECONDS_A_TICK
  const isForgotten = found.state === FlowState.udp && idle > (ring?.idleTimeout ?? 0)
  const state = Object.entries(FlowState).find(([, value]) => value === found.state)?.[0] ?? 'udp'
  return {
    ...live,
    entry: {
      state: state as keyof typeof FlowState,
      idle: Math.round(idle),
      backend: isForgotten ? null : (member?.address ?? null),
    },
  }
}
