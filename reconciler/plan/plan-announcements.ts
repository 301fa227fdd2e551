import type { NodeTables } from '../../schemas/node-state.ts'
import type { AnnouncementPlan } from '../../schemas/plan.ts'
import { createJoiner, type NodeClass } from './fold-edits.ts'

/** Prefixes that other nodes announce than before, by prefix. A route to no peer is no announcement. */
export function planAnnouncements(classes: readonly NodeClass[]): AnnouncementPlan[] {
  const prefixes = new Map<string, { before: (readonly string[])[]; after: (readonly string[])[] }>()
  for (const { before, after, nodes } of classes) {
    for (const [side, tables] of [
      ['before', before],
      ['after', after],
    ] as const)
      for (const prefix of announcedIn(tables)) {
        const known = prefixes.get(prefix) ?? { before: [], after: [] }
        known[side].push(nodes)
        prefixes.set(prefix, known)
      }
  }
  const join = createJoiner()
  return [...prefixes]
    .map(([prefix, { before, after }]) => comparePrefix(prefix, join(before), join(after)))
    .filter(({ announced_on, withdrawn_on }) => announced_on.length + withdrawn_on.length > 0)
    .sort((a, b) => Number(b.last_announcer) - Number(a.last_announcer) || (a.prefix < b.prefix ? -1 : 1))
}

function* announcedIn(tables: NodeTables): Generator<string> {
  for (const row of Object.values(tables.bgp))
    if (row.kind === 'route' && row.peers.length > 0) yield row.prefix
}

function comparePrefix(
  prefix: string,
  before: readonly string[],
  after: readonly string[],
): AnnouncementPlan {
  const [was, is] = [new Set(before), new Set(after)]
  return {
    prefix,
    announced_on: after.filter(node => !was.has(node)),
    withdrawn_on: before.filter(node => !is.has(node)),
    before: before.length,
    after: after.length,
    last_announcer: before.length > 0 && after.length === 0,
  }
}
