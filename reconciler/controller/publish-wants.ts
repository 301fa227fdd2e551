import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { emptyTables, NODE_STATE_VERSION, type NodeState } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { PackedChange } from '../../schemas/tables-change.ts'
import { type Digest, type Revision, WANT_VERSION, type Want } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'

/** Of Redis: what the controller writes for the nodes. */
export interface Board {
  readonly wants: {
    /** Gives the nodes that nobody listens for. */
    publishAll(wants: readonly Want[], changes: ReadonlyMap<string, PackedChange>): Promise<string[]>
    readAll(): Promise<Map<string, Want>>
    remove(node: string): Promise<void>
  }
  readonly states: {
    put(state: NodeState): Promise<Digest>
    lastChange(state: NodeState): PackedChange | null
    prune(keep: readonly Digest[]): Promise<number>
  }
  readonly waker: { wakeAll(nodes: readonly string[], generation: number): Promise<void> }
}

export interface PublishInput {
  readonly board: Board
  readonly revision: Revision
  readonly fleet: Pick<DesiredFleet, 'nodes' | 'fleet'>
  /** Nodes that are of another revision, by name. Null: what such a node wants already stays. */
  readonly exceptions: ReadonlyMap<string, Pick<Want, 'revision' | 'drift'> | null>
  readonly reports: ReadonlyMap<string, NodeReport>
  /** Highest generation that this process knows of any want; 0 at first. */
  readonly lastGeneration: number
  readonly now: number
  /** What Redis holds, as this process wrote it; null: read it. */
  readonly known: ReadonlyMap<string, Want> | null
}

export interface Published {
  /** What Redis now holds. */
  readonly wants: ReadonlyMap<string, Want>
  /** The wants that are new. */
  readonly changed: readonly Want[]
  readonly lastGeneration: number
}

/**
 * Brings Redis up to what the fleet should be: every node whose want is missing, differs, or is older than
 * what the node itself reports gets a new one. Complete in itself unless told what is known, so that an emptied Redis is filled again.
 */
export async function publishWants(input: PublishInput): Promise<Published> {
  const { board, reports } = input
  const existing = input.known ?? (await board.wants.readAll())
  const states = [...input.fleet.nodes.values()].map(({ state }) => state)
  const handoverOf = (node: string) => input.fleet.nodes.get(node)?.handover ?? existing.get(node)?.handover
  const { leaving, gone } = await findLeaving(input, existing)
  const generation = nextGeneration(input, existing)
  const all = [...states, ...leaving]
  const digests = await putAll(board.states, all)
  const offered = all.map(({ node }, index): Want => {
    const handover = handoverOf(node)
    const driftPolicy = input.fleet.nodes.get(node)?.driftPolicy
    return {
      version: WANT_VERSION,
      node,
      generation,
      revision: input.exceptions.get(node)?.revision ?? input.revision,
      stateDigest: digests[index]!,
      drift: input.exceptions.get(node)?.drift ?? input.fleet.fleet.drift,
      ...(driftPolicy != null && { driftPolicy }),
      ...(handover !== undefined && { handover }),
      at: input.now,
    }
  })
  const changed = offered.filter(want => {
    const current = existing.get(want.node)
    return current === undefined || !stillHolds(current, want, reports.get(want.node))
  })
  const changes = new Map(
    all.flatMap(state => {
      const change = board.states.lastChange(state)
      return change === null ? [] : [[state.node, change] as const]
    }),
  )
  for (let at = 0; at < changed.length; at += AT_ONCE) {
    const some = changed.slice(at, at + AT_ONCE)
    const unheard = await board.wants.publishAll(some, changes)
    await board.waker.wakeAll(unheard, generation)
  }
  const wants = new Map([...existing, ...changed.map(want => [want.node, want] as const)])
  for (const node of gone) wants.delete(node)
  const generations = [...wants.values()].map(want => want.generation)
  return {
    changed,
    wants,
    lastGeneration: generations.reduce((a, b) => Math.max(a, b), input.lastGeneration),
  }
}

/** The first nodes are at work while the last are written. */
const AT_ONCE = 100

/** Together, in slices: a thousand states are made of a million rows, and who leads must renew its lease meanwhile. */
async function putAll(states: Board['states'], all: readonly NodeState[]): Promise<Digest[]> {
  const digests: Promise<Digest>[] = []
  for (const state of all) {
    const put = states.put(state)
    // Until it is awaited.
    put.catch(() => {})
    digests.push(put)
    if (digests.length % PUT_AT_ONCE === 0) await setImmediate()
  }
  return Promise.all(digests)
}

const PUT_AT_ONCE = 50

const stillHolds = (current: Want, want: Want, report: NodeReport | undefined): boolean =>
  current.stateDigest === want.stateDigest &&
  current.drift === want.drift &&
  isDeepStrictEqual(current.driftPolicy, want.driftPolicy) &&
  current.handover?.shutdownTime === want.handover?.shutdownTime &&
  current.handover?.drainTimeout === want.handover?.drainTimeout &&
  (report?.want?.generation ?? 0) <= current.generation

/** Grows over everything that anyone has seen, also when Redis was lost (rule 7). */
function nextGeneration(
  { lastGeneration, reports, now }: PublishInput,
  wants: ReadonlyMap<string, Want>,
): number {
  const seen = [
    ...[...wants.values()].map(({ generation }) => generation),
    ...[...reports.values()].map(({ want }) => want?.generation ?? 0),
  ]
  return (
    seen.reduce((highest, generation) => Math.max(highest, generation), Math.max(lastGeneration, now)) + 1
  )
}

/**
 * Nodes without a manifest any more are to be empty; that is remembered as a want until a report confirms it.
 * A node that never had a want is not touched.
 */
async function findLeaving(
  { board, fleet, exceptions, reports }: PublishInput,
  wants: ReadonlyMap<string, Want>,
): Promise<{ leaving: NodeState[]; gone: string[] }> {
  const leaving: NodeState[] = []
  const gone: string[] = []
  for (const node of new Set([...wants.keys(), ...reports.keys()])) {
    if (fleet.nodes.has(node) || exceptions.get(node) === null) continue
    const state = { version: NODE_STATE_VERSION, node, tables: emptyTables() } as const
    const report = reports.get(node)
    const confirmed =
      report?.outcome === 'applied' && report.want?.stateDigest === (await board.states.put(state))
    if (confirmed) {
      await board.wants.remove(node)
      gone.push(node)
    } else if (wants.has(node) || report?.want != null) leaving.push(state)
  }
  return { leaving, gone }
}
