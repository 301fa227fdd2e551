import { durationMs } from '../../schemas/manifest/rollout.ts'
import { emptyTables } from '../../schemas/node-state.ts'
import { ROLLOUT_VERSION, type Rollout, type RolloutNode } from '../../schemas/rollout.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Policy } from '../desired/read-policy.ts'
import { selectNodes } from '../manifest/select-nodes.ts'
import { diffNode, isEmpty } from '../plan/diff.ts'
import { eachService } from './each-service.ts'
import { resolveWindows } from './freeze.ts'

export interface Candidate {
  readonly revision: Revision
  readonly fleet: DesiredFleet
}

export interface StartInput {
  /** The last good revision; null: there is none. */
  readonly base: Candidate | null
  readonly target: Candidate
  /** The record so far; null: there should be one and is not, so that nobody knows what nodes want. */
  readonly previous: Rollout | 'none' | null
  /** Nodes that are held elsewhere, and are no part of it. */
  readonly held: ReadonlySet<string>
  readonly freezeOverride: string | null
  readonly now: number
}

/** What was accepted decides how the next revision goes out: no revision loosens the rules that it goes by. */
export const policyInForce = (
  base: Candidate | null,
  target: Candidate,
): Pick<Policy, 'rollout' | 'freeze'> => ({
  rollout: base?.fleet.policy.rollout ?? target.fleet.policy.rollout,
  freeze: (base ?? target).fleet.policy.freeze,
})

/** The record of a rollout that begins. Nobody is told anything by it: `nextWave` says who changes first. */
export function startRollout(input: StartInput): Rollout {
  const { base, target, previous, now } = input
  const { rollout: strategy, freeze } = policyInForce(base, target)
  const names = changedNodes(input)
  const waves = assignWaves(names, canaryNames(input), strategy?.steps ?? [])
  const known = (base ?? target).fleet.policy.nodes
  return {
    version: ROLLOUT_VERSION,
    sequence: previous === null || previous === 'none' ? 1 : previous.sequence + 1,
    state: names.length === 0 ? 'done' : 'running',
    base: base?.revision ?? null,
    target: target.revision,
    startedAt: now,
    waves: waves.names,
    wave: 0,
    waveOpenedAt: now,
    bakingSince: null,
    nodes: names
      .map(name => carryNode(name, waves.of.get(name)!, input))
      .sort((a, b) => a.wave - b.wave || (a.name < b.name ? -1 : 1)),
    announcers: findAnnouncers(names, input),
    bakeMs: durationMs(strategy?.bake ?? '0s'),
    deadlineMs: durationMs(strategy?.deadline ?? '2m'),
    maxInChange: strategy?.maxInChange ?? null,
    gates: strategy?.gates ?? null,
    onFailure: strategy?.onFailure ?? 'stop',
    freeze: resolveWindows(freeze, known),
    freezeOverride: input.freezeOverride,
    failure: null,
    reverted: null,
    revertPull: null,
  }
}

/** Those that differ between the two, and those that an earlier rollout has left with something else. */
function changedNodes({ base, target, previous, held }: StartInput): string[] {
  const [before, after] = [base?.fleet.nodes, target.fleet.nodes]
  const all = [...new Set([...(before?.keys() ?? []), ...after.keys()])].filter(name => !held.has(name))
  if (previous === null) return all
  const strays = new Set(
    previous === 'none'
      ? []
      : previous.nodes
          .filter(node => sideNow(node, previous, base) === 'kept' || node.changingSince !== null)
          .map(({ name }) => name),
  )
  return all.filter(name => {
    if (strays.has(name)) return true
    const [was, is] = [before?.get(name), after.get(name)]
    if (was === undefined || is === undefined) return true
    return !isEmpty(diffNode(is.state.tables, was.state.tables))
  })
}

function carryNode(name: string, wave: number, { base, previous }: StartInput): RolloutNode {
  if (previous === null) return { name, wave, side: 'kept', changingSince: null, counted: null }
  const before = previous === 'none' ? undefined : previous.nodes.find(node => node.name === name)
  if (previous === 'none' || before === undefined)
    return { name, wave, side: 'base', changingSince: null, counted: null }
  const { changingSince } = before
  return { name, wave, side: sideNow(before, previous, base), changingSince, counted: null }
}

/** Which side of the new rollout a node of the old one is on. */
function sideNow(node: RolloutNode, previous: Rollout, base: Candidate | null): RolloutNode['side'] {
  const wants = { kept: null, base: previous.base, target: previous.target }[node.side]
  return wants !== null && wants === base?.revision ? 'base' : 'kept'
}

function canaryNames({ base, target }: StartInput): ReadonlySet<string> {
  const canary = policyInForce(base, target).rollout?.canary
  if (canary === undefined) return new Set()
  const nodes = [...target.fleet.policy.nodes, ...(base?.fleet.policy.nodes ?? [])]
  return new Set(selectNodes(canary, nodes).map(({ metadata }) => metadata.name))
}

interface Waves {
  readonly names: string[]
  readonly of: ReadonlyMap<string, number>
}

/** Canaries first, then by name: a step of 10 is the first tenth of all, canaries included. Waves without nodes are left out. */
export function assignWaves(
  names: readonly string[],
  canaries: ReadonlySet<string>,
  steps: readonly number[],
): Waves {
  const ordered = [
    ...names.filter(name => canaries.has(name)).sort(),
    ...names.filter(name => !canaries.has(name)).sort(),
  ]
  const canaryCount = names.filter(name => canaries.has(name)).length
  const ends = [
    { name: 'canary', end: canaryCount },
    ...steps.map(step => ({ name: `${step} %`, end: Math.ceil((names.length * step) / 100) })),
    { name: 'fleet', end: names.length },
  ]
  const waves: string[] = []
  const of = new Map<string, number>()
  let begin = 0
  for (const { name, end } of ends) {
    if (end <= begin) continue
    for (const node of ordered.slice(begin, end)) of.set(node, waves.length)
    waves.push(name)
    begin = end
  }
  return { names: waves.length === 0 ? ['fleet'] : waves, of }
}

/** Distinct sets of changed nodes that serve a VIP in common, before or after. */
function findAnnouncers(names: readonly string[], { base, target }: StartInput): string[][] {
  const byVip = new Map<string, Set<string>>()
  for (const name of names) {
    for (const side of [base?.fleet, target.fleet]) {
      for (const { vip } of eachService(side?.nodes.get(name)?.state.tables ?? emptyTables())) {
        const nodes = byVip.get(vip)
        if (nodes === undefined) byVip.set(vip, new Set([name]))
        else nodes.add(name)
      }
    }
  }
  const sets = new Map<string, string[]>()
  for (const nodes of byVip.values()) {
    const group = [...nodes].sort()
    if (group.length > 1) sets.set(group.join(' '), group)
  }
  return [...sets.values()]
}
