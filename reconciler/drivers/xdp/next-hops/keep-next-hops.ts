import { setTimeout as delay } from 'node:timers/promises'
import type { XdpServiceRow } from '../../../../schemas/node-state.ts'
import { type Dataplane, openDataplane } from '../dataplane.ts'
import { knowServices } from '../known-services.ts'
import type { ObserveContext } from '../observe.ts'
import { readTables } from '../tables.ts'
import { l2Backends, type RefreshedNextHops, refreshNextHops } from './refresh-next-hops.ts'

type Context = Pick<ObserveContext, 'pins' | 'store' | 'breathe'>

/** A neighbour on the wire answers within a millisecond or two. */
const ANSWER_MS = 20
const ANSWERS_AWAITED = 5

/** Of a node that may have no program at all. The link addresses that matter, by backend; null: not known. */
export async function keepNextHops(context: Context): Promise<ReadonlyMap<string, string | null>> {
  using dataplane = openDataplane(context.pins)
  if (dataplane === undefined) return new Map()
  const { known, unresolved } = await refresh(dataplane, context)
  return new Map([...known, ...unresolved.map(address => [address, null] as const)])
}

/** For services that are about to be made: gives their neighbours a moment to answer, so that the first flows reach them all. */
export async function resolveNextHops(context: Context, coming: readonly XdpServiceRow[]): Promise<void> {
  using dataplane = openDataplane(context.pins)
  if (dataplane === undefined) return
  const addresses = coming.flatMap(({ backends }) => backends.map(({ address }) => address))
  for (let round = 0; round < ANSWERS_AWAITED; round++) {
    const { unresolved } = await refresh(dataplane, context, addresses)
    if (unresolved.length === 0) return
    await delay(ANSWER_MS)
  }
}

async function refresh(
  dataplane: Dataplane,
  context: Context,
  coming: readonly string[] = [],
): Promise<RefreshedNextHops> {
  const known = await knowServices(
    context,
    await readTables(dataplane, { breathe: context.breathe, reader: context }),
  )
  return refreshNextHops(dataplane, new Set([...l2Backends(known), ...coming]))
}
