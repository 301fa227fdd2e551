import type { RowBackend } from '../../../schemas/node-state.ts'
import type { Member } from './layout.ts'

export type Members = readonly (Member | undefined)[]

/**
 * Gives every backend an index. One that stays keeps its index, generation and counter, so its flows stay
 * with it; a new one gets the lowest free index under a generation that no flow has yet (rule 3).
 */
export function assignMembers(
  before: Members,
  backends: readonly RowBackend[],
  fresh: { takeGeneration(): number; takeCounter(): number },
): Members {
  const staying = new Map<string, number>()
  for (const [index, member] of before.entries()) {
    if (member !== undefined && !staying.has(member.address)) staying.set(member.address, index)
  }
  const members: (Member | undefined)[] = []
  const coming: RowBackend[] = []
  for (const backend of backends) {
    const index = staying.get(backend.address)
    if (index === undefined) coming.push(backend)
    else members[index] = { ...before[index]!, weight: backend.weight }
  }
  const generation = coming.length === 0 ? 0 : fresh.takeGeneration()
  let index = 0
  for (const { address, weight } of coming) {
    while (members[index] !== undefined) index++
    members[index] = { address, generation, counter: fresh.takeCounter(), weight }
  }
  return Array.from(members)
}

/** The members of a ring, with their indexes. */
export function* membersIn(members: Members): Generator<Member & { index: number }> {
  for (const [index, member] of members.entries()) if (member !== undefined) yield { ...member, index }
}
