import { durationMs, type FreezeWindow } from '../../schemas/manifest/rollout.ts'
import { beginningOf } from '../manifest/cron.ts'
import { selectNodes } from '../manifest/select-nodes.ts'

/** A window, with the nodes that it is about by name; null: the fleet. */
export interface ResolvedWindow extends Pick<FreezeWindow, 'mode' | 'schedule' | 'duration' | 'timeZone'> {
  readonly nodes: string[] | null
}

type SelectableNodes = Parameters<typeof selectNodes>[1]

export const resolveWindows = (windows: readonly FreezeWindow[], nodes: SelectableNodes): ResolvedWindow[] =>
  windows.map(({ mode, schedule, duration, timeZone, nodes: selector }) => ({
    mode,
    schedule,
    duration,
    timeZone,
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

function isOpen(window: ResolvedWindow, at: number): boolean {
  const began = beginningOf(window, 'last', at)
  return began !== null && at < began + durationMs(window.duration)
}

/** How many edges of windows are looked at. */
const EDGES = 400

/** The next time at which a node may change, `at` itself if it may now; null: not within the next edges of windows. */
export function thawsAt(windows: readonly ResolvedWindow[], node: string, at: number): number | null {
  let time = at
  for (let edge = 0; edge < EDGES; edge++) {
    if (!freezeAt(windows, time)(node)) return time
    const next = windows
      .flatMap(window => edgesAfter(window, time))
      .reduce((a, b) => Math.min(a, b), Infinity)
    if (!Number.isFinite(next)) return null
    time = next
  }
  return null
}

function edgesAfter(window: ResolvedWindow, at: number): number[] {
  const last = beginningOf(window, 'last', at)
  const ends = last === null ? [] : [last + durationMs(window.duration)].filter(end => end > at)
  const next = beginningOf(window, 'next', at)
  return next === null ? ends : [...ends, next]
}
