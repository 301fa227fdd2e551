import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'

/** A branch that does not contain what was accepted was rewritten: nobody reviewed what that takes away. */
export const describeRewind = (head: Revision, accepted: Revision): Diagnostic => ({
  rule: 'not-fast-forward',
  severity: 'error',
  message: `${head.slice(0, 12)} does not contain the accepted revision ${accepted.slice(0, 12)}: the branch was rewritten.`,
  hint: `Push a commit on top of what was accepted; or take the rewritten branch as it is: ballast accept ${head.slice(0, 12)}.`,
  at: { file: '.', line: 1, column: 1 },
})

export const describeClosedGate = (gate: string, message: string): Diagnostic => ({
  rule: `rollout-${gate.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`,
  severity: 'error',
  message: `The rollout was stopped, and the nodes that had changed go back: ${message}.`,
  hint: 'Revert the commit, or push one that puts it right: it begins again with the first wave.',
  at: { file: '.', line: 1, column: 1 },
})

/** More than this share of the services, or of the nodes, going away at once is taken for a mistake. */
const LARGEST_LOSS = 1 / 2

/** A tree of which more than half is gone, against what was accepted; a service is what it answers at, not its name. */
export function findShrunken(head: Revision, before: DesiredFleet, after: DesiredFleet): Diagnostic[] {
  const losses = [
    ['services', countLost(servicesOf(before), servicesOf(after))],
    ['nodes', countLost(new Set(before.nodes.keys()), new Set(after.nodes.keys()))],
  ] as const
  return losses.flatMap(([what, { lost, total }]) =>
    lost <= total * LARGEST_LOSS
      ? []
      : [
          {
            rule: 'tree-shrunken',
            severity: 'error' as const,
            message: `${lost} of the ${total} ${what} of the accepted revision are gone in ${head.slice(0, 12)}.`,
            hint: `Put them back, or take them away in several commits; if this is what you want: ballast accept ${head.slice(0, 12)}.`,
            at: { file: '.', line: 1, column: 1 },
          },
        ],
  )
}

function countLost(before: ReadonlySet<string>, after: ReadonlySet<string>) {
  return { lost: [...before].filter(key => !after.has(key)).length, total: before.size }
}

/** Those of all nodes, each once. Nodes that share their services share the names. */
function servicesOf({ nodes }: DesiredFleet): Set<string> {
  const distinct = new Set(Array.from(nodes.values(), ({ names }) => names))
  return new Set([...distinct].flatMap(names => Object.keys(names)))
}
