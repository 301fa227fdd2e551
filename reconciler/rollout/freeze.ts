import { durationMs, type FreezeWindow } from '../../schemas/manifest/rollout.ts'
import type { FrozenNodes, Rollout } from '../../schemas/rollout.ts'
import { beginningOf } from '../manifest/cron.ts'
import { selectNodes } from '../manifest/select-nodes.ts'

/** A window, with the nodes that it is about by name; null: the fleet. */
export interface ResolvedWindow extends Pick<FreezeWindow, 'mode' | 'schedule' | 'duration' | 'timeZone'> {
  readonly nodes: string[] | null
  readonly reason?: string
}

type SelectableNodes = Parameters<typeof selectNodes>[1]

export const resolveWindows = (windows: readonly FreezeWindow[], nodes: SelectableNodes): ResolvedWindow[] =>
  windows.map(({ mode, schedule, duration, timeZone, nodes: selector, reason }) => ({
    mode,
    schedule,
    duration,
    timeZone,
    ...(reason !== undefined && { reason }),
    nodes: selector === undefined ? null : selectNodes(selector, nodes).map(({ metadata }) => metadata.name),
  }))

/**
 * Who may not change at a time, ms since the epoch: a node inside a window that denies it, or outside of all that
 * allow it where there are such. A window begins with its first millisecond, and ends before its last.
 */
export function freezeAt(windows: readonly ResolvedWindow[], at: number): (node: string) => boolean {
  const looked = windows.map(window => ({
    denies: window.mode === 'deny',
    isOpen: isOpen(window, at),
    nodes: window.nodes === null ? null : new Set(window.nodes),
  }))
  return node => {
    const own = looked.filter(({ nodes }) => nodes === null || nodes.has(node))
    if (own.some(window => window.denies && window.isOpen)) return true
    const allowing = own.filter(({ denies }) => !denies)
    return allowing.length > 0 && !allowing.some(window => window.isOpen)
  }
}

const isOpen = (window: ResolvedWindow, at: number): boolean => at < endOf(window, at)

/** When what began last ends, or has ended. */
function endOf(window: ResolvedWindow, at: number): number {
  const began = beginningOf(window, 'last', at)
  return began === null ? -Infinity : began + durationMs(window.duration)
}

/** How many windows are looked at: a weekend of one of a minute in every minute. */
const LOOKED_AT = 3_000
/** What is frozen for so long, window after window, has no gap: most that never end are found in little time. */
const HORIZON_MS = 60 * 86_400_000

/** The next time at which a node may change, `at` itself if it may now; null: not for hundreds of windows. */
export function thawsAt(windows: readonly ResolvedWindow[], node: string, at: number): number | null {
  const own = windows.filter(({ nodes }) => nodes === null || nodes.includes(node))
  const key = JSON.stringify(
    own.map(({ mode, schedule, duration, timeZone }) => [mode, schedule, duration, timeZone]),
  )
  const known = looked.get(key)
  if (known !== undefined && known.from <= at && at < known.to) return known.thaws
  const thaws = findThaw(own, node, at)
  if (thaws === at) return at
  if (looked.size >= KEPT) looked.clear()
  looked.set(key, { from: at, to: thaws ?? at + LOOK_AGAIN_MS, thaws })
  return thaws
}

/**
 * By windows: from one moment to another nobody may change, and the answer is the same. A rollout that waits is looked at
 * every second, and a weekend of minutes takes half a second to look through.
 */
const looked = new Map<
  string,
  { readonly from: number; readonly to: number; readonly thaws: number | null }
>()
const KEPT = 256
/** At windows that were found to leave no gap. */
const LOOK_AGAIN_MS = 3_600_000

function findThaw(own: readonly ResolvedWindow[], node: string, at: number): number | null {
  const denying = own.filter(({ mode }) => mode === 'deny')
  const allowing = own.filter(({ mode }) => mode === 'allow')
  let time = at
  for (let count = 0; count < LOOKED_AT; count++) {
    if (!freezeAt(own, time)(node)) return time
    const began = time
    const denied = Math.max(...denying.map(window => endOf(window, time)))
    const allowed = allowing.map(window => beginningOf(window, 'next', time)).filter(begin => begin !== null)
    time = denied > time ? denied : Math.min(...allowed)
    if (!Number.isFinite(time) || began - at > HORIZON_MS) return null
  }
  return null
}

/** Those of `nodes` that may not change at a time, and until when; nodes of the same windows together. */
export function findFrozen(
  windows: readonly ResolvedWindow[],
  nodes: readonly string[],
  at: number,
): FrozenNodes[] {
  const groups = Map.groupBy(nodes.filter(freezeAt(windows, at)), node =>
    windows.map(window => (window.nodes === null || window.nodes.includes(node) ? 1 : 0)).join(''),
  )
  return [...groups.values()].map(names => {
    const reasons = reasonsFor(windows, names[0]!, at)
    return {
      nodes: names,
      until: thawsAt(windows, names[0]!, at),
      ...(reasons.length > 0 && { reasons }),
    }
  })
}

/** Of a node that may not change: why, by the windows that deny it, or else by those that do not allow it yet. */
function reasonsFor(windows: readonly ResolvedWindow[], node: string, at: number): string[] {
  const own = windows.filter(({ nodes }) => nodes === null || nodes.includes(node))
  const denying = own.filter(window => window.mode === 'deny' && isOpen(window, at))
  const keeping = denying.length > 0 ? denying : own.filter(({ mode }) => mode === 'allow')
  return [...new Set(keeping.flatMap(({ reason }) => reason ?? []))]
}

/** Nodes that a rollout has still to change and may not now. */
export const frozenOf = ({ freeze, freezeOverride, nodes, state }: Rollout, at: number): FrozenNodes[] =>
  freezeOverride !== null || freeze.length === 0 || state === 'failed'
    ? []
    : findFrozen(
        freeze,
        nodes.filter(({ side }) => side !== 'target').map(({ name }) => name),
        at,
      )
