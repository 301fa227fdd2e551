import { emptyTables, NODE_STATE_VERSION, type NodeState } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { type Digest, type Revision, WANT_VERSION, type Want } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'

/** Of Redis: what the controller writes for the nodes. */
export interface Board {
  readonly wants: {
    publish(want: Want): Promise<void>
    readAll(): Promise<Map<string, Want>>
    remove(node: string): Promise<void>
  }
  readonly states: {
    put(state: NodeState): Promise<Digest>
    prune(keep: readonly Digest[]): Promise<number>
  }
  readonly waker: { wake(node: string, generation: number): Promise<void> }
}

export interface PublishInput {
  readonly board: Board
  readonly revision: Revision
  readonly fleet: DesiredFleet
  readonly reports: ReadonlyMap<string, NodeReport>
  /** Highest generation that this process knows of any want; 0 at first. */
  readonly lastGeneration: number
  readonly now: number
}

export interface Published {
  /** The wants that are new. */
  readonly changed: readonly Want[]
  readonly lastGeneration: number
}

/** Nodes written to Redis at the same time. */
const AT_ONCE = 32

/**
 * Brings Redis up to what the fleet should be: every node whose want is missing, differs, or is older than
 * what the node itself reports gets a new one. Complete in itself, so that an emptied Redis is filled again.
 */
export async function publishWants(input: PublishInput): Promise<Published> {
  const { board, reports } = input
  const existing = await board.wants.readAll()
  const states = [...input.fleet.nodes.values()].map(({ state }) => state)
  const leaving = await findLeaving(input, existing)
  const changed: Want[] = []
  const generation = nextGeneration(input, existing)
  const all = [...states, ...leaving]
  for (let at = 0; at < all.length; at += AT_ONCE) {
    const chunk = all.slice(at, at + AT_ONCE).map(async state => {
      const stateDigest = await board.states.put(state)
      const current = existing.get(state.node)
      const want: Want = {
        version: WANT_VERSION,
        node: state.node,
        generation,
        revision: input.revision,
        stateDigest,
        drift: input.fleet.fleet.drift,
        at: input.now,
      }
      if (current !== undefined && stillHolds(current, want, reports.get(state.node))) return
      await board.wants.publish(want)
      await board.waker.wake(state.node, generation)
      changed.push(want)
    })
    await Promise.all(chunk)
  }
  const generations = [...existing.values(), ...changed].map(want => want.generation)
  return { changed, lastGeneration: generations.reduce((a, b) => Math.max(a, b), input.lastGeneration) }
}

const stillHolds = (current: Want, want: Want, report: NodeReport | undefined): boolean =>
  current.stateDigest === want.stateDigest &&
  current.drift === want.drift &&
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
  { board, fleet, reports }: PublishInput,
  wants: ReadonlyMap<string, Want>,
): Promise<NodeState[]> {
  const leaving: NodeState[] = []
  for (const node of new Set([...wants.keys(), ...reports.keys()])) {
    if (fleet.nodes.has(node)) continue
    const state = { version: NODE_STATE_VERSION, node, tables: emptyTables() } as const
    const report = reports.get(node)
    const confirmed =
      report?.outcome === 'applied' && report.want?.stateDigest === (await board.states.put(state))
    if (confirmed) await board.wants.remove(node)
    else if (wants.has(node) || report?.want != null) leaving.push(state)
  }
  return leaving
}
