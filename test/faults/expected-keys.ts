import type { OpenBoard } from '../../reconciler/commands/open-board.ts'
import { KEY_PREFIX, stateKey } from '../../reconciler/queue/keys.ts'
import { type Blob, stateTree } from '../../reconciler/queue/state-tree.ts'

/** Need not be there: counters, signs of life, the fleet's drift, who leads, and what BullMQ keeps for each queue beside its jobs. */
const ALLOWED =
  /^\{ballast\}:((counters|alive):lb-[12]|fleet-drift|leader|epoch|wake-lb-[12]:(meta|id|events|marker|stalled|stalled-check|pc))$/
const KINDS = [
  'want:lb-1',
  'want:lb-2',
  'wants',
  'report:lb-1',
  'report:lb-2',
  'reporters',
  'reports',
  'revision',
]

/**
 * Keys that Redis holds and nobody needs, and keys that are missing, when the fleet rests: states are those of
 * the wants and of the reports.
 */
export async function compareKeys(board: OpenBoard): Promise<{ leaked: string[]; missing: string[] }> {
  const needed = new Set(KINDS.map(kind => `${KEY_PREFIX}:${kind}`))
  const digests = [
    ...[...(await board.wants.readAll()).values()].map(({ stateDigest }) => stateDigest),
    ...[...(await board.reports.readAll()).values()].flatMap(({ want }) => want?.stateDigest ?? []),
  ]
  for (const digest of new Set(digests)) {
    const state = await board.states.get(digest)
    if (state !== null) for (const key of keysOf(stateTree(state))) needed.add(key)
    else needed.add(stateKey('root', digest))
  }
  const held = new Set(await board.connection.call(redis => redis.keys('*')))
  return {
    leaked: [...held].filter(key => !needed.has(key) && !ALLOWED.test(key)).sort(),
    missing: [...needed].filter(key => !held.has(key)).sort(),
  }
}

const keysOf = ({ kind, digest, children }: Blob): string[] => [
  stateKey(kind, digest),
  ...children.flatMap(keysOf),
]
