import { isDeepStrictEqual } from 'node:util'
import type { Rollout, RolloutNode, Side } from '../../schemas/rollout.ts'
import { freezeAt } from './freeze.ts'
import { findClosedGate, isFailing } from './gates.ts'
import { hasFailed, isReached, isSilent, type Reports } from './reports.ts'

/**
 * The rollout as it should be now: who changes next, which wave is open, whether a gate has closed. The same record
 * where nothing is to be done; whoever gets another one keeps it before acting on it.
 *
 * No record is no rollout: null stays null, and nobody changes. Of nodes that serve a VIP in common at most
 * `maxInChange` change at a time, also on the way back. A wave does not close before it baked with all gates open.
 */
export function nextWave(rollout: Rollout | null, reports: Reports, now: number): Rollout | null {
  if (rollout === null) return null
  const step = { reports, now }
  const next = move(advance(judge(measure(settle(rollout, step), step), step), step), step)
  return isDeepStrictEqual(next, rollout) ? rollout : { ...next, sequence: rollout.sequence + 1 }
}

interface Step {
  readonly reports: Reports
  readonly now: number
}

/** Nodes that have answered are in change no more. */
function settle(rollout: Rollout, { reports }: Step): Rollout {
  const nodes = rollout.nodes.map(node => {
    if (node.changingSince === null) return node
    const view = reports.nodes.get(node.name)
    return isReached(view) || hasFailed(view) ? { ...node, changingSince: null } : node
  })
  return { ...rollout, nodes }
}

/** The first counts of nodes that did not report them before: what comes later is compared with these. */
function measure(rollout: Rollout, step: Step): Rollout {
  const isNew = ({ counted, changingSince }: RolloutNode): boolean =>
    counted === null && changingSince === null
  if (rollout.state !== 'running' || !rollout.nodes.some(isNew)) return rollout
  return { ...rollout, nodes: rollout.nodes.map(node => (isNew(node) ? countAgain(node, step) : node)) }
}

function judge(rollout: Rollout, { reports, now }: Step): Rollout {
  if (rollout.state !== 'running') return rollout
  const closed = findClosedGate(rollout, reports, now)
  return closed === null ? rollout : { ...rollout, state: 'failed', failure: { ...closed, at: now } }
}

/** Opens the next wave when this one has gone well for long enough; after the last the rollout is done. */
function advance(rollout: Rollout, step: Step): Rollout {
  if (rollout.state !== 'running') return rollout
  if (!isWaveComplete(rollout, step)) return { ...rollout, bakingSince: null }
  const bakingSince = rollout.bakingSince ?? step.now
  if (step.now - bakingSince < rollout.bakeMs) return { ...rollout, bakingSince }
  if (rollout.wave < rollout.waves.length - 1) {
    const opened = { ...rollout, wave: rollout.wave + 1, waveOpenedAt: step.now, bakingSince: null }
    return { ...opened, nodes: rollout.nodes.map(node => countAgain(node, step)) }
  }
  // What a late node wanted before is not known once the base has moved on.
  const nodes = rollout.nodes.map(node => (node.side === 'base' ? { ...node, side: 'kept' as const } : node))
  return { ...rollout, bakingSince, state: 'done', nodes }
}

/** Nodes that do not report are left for when they do; a wave of which nobody reports proves nothing. */
function isWaveComplete(rollout: Rollout, { reports, now }: Step): boolean {
  const due = rollout.nodes.filter(({ wave }) => wave <= rollout.wave)
  const isThere = ({ name }: RolloutNode): boolean => !isSilent(reports.nodes.get(name), now)
  const isDone = (node: RolloutNode): boolean =>
    node.side === 'target' && (node.changingSince === null || isFailing(node, rollout, reports, now))
  const isLate = (node: RolloutNode): boolean => node.side !== 'target' && !isThere(node)
  if (!due.every(node => isDone(node) || isLate(node))) return false
  const own = due.filter(({ wave }) => wave === rollout.wave)
  if (own.length === 0 || own.some(isDone)) return true
  return rollout.wave > 0 && rollout.nodes.filter(isThere).length * 2 > rollout.nodes.length
}

/** Unchanged nodes are what changed ones are compared with, over the time of the wave. */
function countAgain(node: RolloutNode, { reports }: Step): RolloutNode {
  if (node.side === 'target') return node
  return { ...node, counted: reports.nodes.get(node.name)?.report?.traffic ?? null }
}

/** Tells nodes to change, as far as those that change already let them. */
function move(rollout: Rollout, step: Step): Rollout {
  const planned = plannedMoves(rollout, step)
  if (planned.length === 0) return rollout
  const room = findRoom(rollout, step)
  const moves = new Map<string, Side>()
  for (const { name, side } of planned) if (room.take(name)) moves.set(name, side)
  if (moves.size === 0) return rollout
  const nodes = rollout.nodes.map(node => {
    const side = moves.get(node.name)
    if (side === undefined) return node
    const counted = step.reports.nodes.get(node.name)?.report?.traffic ?? null
    return { ...node, side, changingSince: step.now, counted }
  })
  return { ...rollout, nodes }
}

/** How many more of each set of announcers may change. One that was told and never answered is waited for until its deadline. */
function findRoom({ nodes, announcers, maxInChange, deadlineMs }: Rollout, { now }: Step) {
  const inChange = new Set(
    nodes
      .filter(({ changingSince }) => changingSince !== null && now - changingSince <= deadlineMs)
      .map(({ name }) => name),
  )
  const groups = announcers.map(group => ({
    members: new Set(group),
    left: (maxInChange ?? Infinity) - group.filter(name => inChange.has(name)).length,
  }))
  return {
    /** False: there is no room for it. A node that is in change already takes no more. */
    take(name: string): boolean {
      const own = inChange.has(name) ? [] : groups.filter(({ members }) => members.has(name))
      if (own.some(({ left }) => left <= 0)) return false
      for (const group of own) group.left--
      inChange.add(name)
      return true
    },
  }
}

interface Move {
  readonly name: string
  readonly side: Side
}

/** In the order in which they should be told. */
function plannedMoves(rollout: Rollout, { reports, now }: Step): Move[] {
  const silent = (node: RolloutNode): boolean => isSilent(reports.nodes.get(node.name), now)
  const isFrozen = freezeAt(rollout.freezeOverride === null ? rollout.freeze : [], now)
  const frozen = ({ name }: RolloutNode): boolean => isFrozen(name)
  const to =
    (side: Side) =>
    ({ name }: RolloutNode): Move => ({ name, side })
  switch (rollout.state) {
    case 'failed': {
      // Nothing that is wrong waits for a window; those that answer go first.
      const back = rollout.nodes.filter(({ side }) => side !== 'base')
      return [...back.filter(node => !silent(node)), ...back.filter(silent)].map(to('base'))
    }
    case 'done':
      return rollout.nodes
        .filter(node => node.side !== 'target' && !silent(node) && !frozen(node))
        .map(to('target'))
    case 'running': {
      const free = rollout.nodes.filter(node => node.side !== 'target' && !silent(node) && !frozen(node))
      const strays = free.filter(({ side, wave }) => side === 'kept' && wave > rollout.wave)
      // What an earlier revision left behind goes back first: a canary is compared with the last good revision.
      if (strays.length > 0) return strays.map(to('base'))
      return free.filter(({ wave }) => wave <= rollout.wave).map(to('target'))
    }
  }
}
