import type { Hold } from '../../schemas/hold.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import type { Revision, Want } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Log } from '../log/log.ts'
import type { Repository } from '../repo/repository.ts'
import { type Assembled, assembleFleet } from '../rollout/assemble-fleet.ts'
import { freezeAt, resolveWindows } from '../rollout/freeze.ts'
import { nextWave } from '../rollout/next-wave.ts'
import { type Candidate, policyInForce, startRollout } from '../rollout/start-rollout.ts'
import type { Evaluate } from './evaluate.ts'
import { createProbes } from './probes.ts'
import type { Reverted } from './revert.ts'
import type { RolloutRecords } from './rollout-records.ts'

/** In the message of a commit: why it does not wait for a freeze to end. */
export const FREEZE_OVERRIDE = 'Ballast-Freeze-Override'

export interface RolloutDriverOptions {
  readonly repository: Pick<Repository, 'trailers' | 'isAncestor' | 'resolve'>
  readonly records: RolloutRecords
  readonly evaluate: Evaluate
  readonly log: Log
  readonly now: () => number
}

export interface ToPublish extends Pick<Assembled, 'exceptions'> {
  /** Of all nodes but the exceptions. */
  readonly revision: Revision
  readonly fleet: Pick<DesiredFleet, 'nodes' | 'fleet'>
}

/** Carries a revision to the nodes, as far as its waves, gates, windows and what is held let it. */
export interface RolloutDriver {
  /** Reads the record and what is held; what another process has done since is found by it. */
  load(afresh: boolean): Promise<void>
  /** What counts as accepted by the record, where that is later than what this process knows. */
  acceptedByRecord(accepted: Revision | null): Promise<Revision | null>
  /** The revision that the rollout from what is accepted has brought to the nodes; null: it has not, or there is none. */
  reached(accepted: Candidate | null): Promise<Candidate | null>
  /** A revision goes to all nodes at once: the record, if there is one, is of the past. */
  leaveBehind(revision: Revision): Promise<void>
  readonly holds: readonly Hold[]
  /** Null: there is none for what is accepted. */
  record(accepted: Candidate | null): Rollout | null
  /**
   * `accept`: it is for all nodes at once, or has reached them; `refuse`: its gate has closed; `begun`: its rollout has
   * just begun; `wait`: it is on its way, or everything is held.
   */
  take(candidate: Candidate, accepted: Candidate | null): Promise<'accept' | 'refuse' | 'begun' | 'wait'>
  /** What is to be published; null: nothing was ever accepted, and nothing is on its way. */
  assemble(accepted: Candidate | null): Promise<ToPublish | null>
  /** The next step, given that what `assemble` said is published. True: something is to be published anew. */
  advance(
    accepted: Candidate | null,
    wants: ReadonlyMap<string, Want>,
    reports: ReadonlyMap<string, NodeReport>,
  ): Promise<boolean>
  /** There may be a next step without a push. */
  isMoving(accepted: Candidate | null): boolean
  /** Tries the probes of the rollout that is under way. */
  probe(): Promise<void>
  /** A branch was pushed that takes the failed revision back. */
  noteRevert(reverted: Reverted): Promise<void>
}

export function createRolloutDriver(options: RolloutDriverOptions): RolloutDriver {
  const { repository, records, evaluate, log, now } = options
  const probes = createProbes()
  const fleets = new Map<Revision, DesiredFleet>()
  let record: Rollout | null = null
  let holds: readonly Hold[] = []
  let loaded = false
  let isProbing = false

  /** A record is of what was accepted when it was made; afterwards it may have been left behind. */
  function current(accepted: Candidate | null): Rollout | null {
    const of = record?.state === 'done' ? record.target : (record?.base ?? null)
    return record !== null && of === (accepted?.revision ?? null) ? record : null
  }

  const suspended = (): boolean =>
    holds.some(({ scope, revision }) => scope.kind === 'fleet' && revision === null)

  async function keep(next: Rollout): Promise<void> {
    await records.keepRollout(next)
    record = next
  }

  /** Of a revision that was taken before; null when it cannot be any more. */
  async function fleetOf(revision: Revision): Promise<DesiredFleet | null> {
    const known = fleets.get(revision)
    if (known !== undefined) return known
    const { fleet } = await evaluate(revision)
    if (fleet !== null) fleets.set(revision, fleet)
    return fleet
  }

  function forgetFleets(): void {
    const needed = new Set([record?.target, ...holds.map(({ revision }) => revision)])
    for (const revision of fleets.keys()) if (!needed.has(revision)) fleets.delete(revision)
  }

  const heldNodes = (): Set<string> =>
    new Set(holds.flatMap(({ scope }) => (scope.kind === 'node' ? [scope.name] : [])))

  /** Whether all nodes may change at this moment. */
  function goesAtOnce(candidate: Candidate, accepted: Candidate | null): boolean {
    const { rollout, freeze } = policyInForce(accepted, candidate)
    const known = current(accepted)
    if (rollout !== null || known?.nodes.some(({ side }) => side === 'kept')) return false
    if (known !== null && known.state !== 'done') return false
    if (freeze.length === 0) return true
    const isFrozen = freezeAt(resolveWindows(freeze, (accepted ?? candidate).fleet.policy.nodes), now())
    return ![...candidate.fleet.nodes.keys(), ...(accepted?.fleet.nodes.keys() ?? [])].some(isFrozen)
  }

  async function begin(candidate: Candidate, accepted: Candidate | null): Promise<Rollout> {
    const known = current(accepted)
    const isLost = record === null && accepted !== null && accepted.fleet.policy.rollout !== null
    const overrides = await repository.trailers({
      key: FREEZE_OVERRIDE,
      base: accepted?.revision ?? null,
      head: candidate.revision,
    })
    const started = startRollout({
      base: accepted,
      target: candidate,
      previous: isLost ? null : (known ?? 'none'),
      held: heldNodes(),
      freezeOverride: overrides[0] ?? null,
      now: now(),
    })
    // Numbered after any other, so that no copy that was left behind is taken for it.
    await keep({ ...started, sequence: Math.max(started.sequence, (record?.sequence ?? 0) + 1) })
    fleets.set(candidate.revision, candidate.fleet)
    probes.forget()
    if (isLost) {
      const reason = 'the record of the last rollout is lost: nobody knows which nodes it had reached'
      await records.hold({ scope: { kind: 'fleet' }, revision: null, reason, by: 'ballast', at: now() })
      holds = await records.readHolds()
      log.error({ revision: candidate.revision }, `${reason}; every node stays until: ballast resume`)
    }
    log.info(
      { revision: candidate.revision, nodes: started.nodes.length, waves: started.waves },
      'rollout begins',
    )
    return record!
  }

  return {
    get holds() {
      return holds
    },

    async load(afresh) {
      holds = await records.readHolds()
      if (loaded && !afresh) return
      record = await records.readRollout()
      loaded = true
    },

    async acceptedByRecord(accepted) {
      const of = record?.state === 'done' ? record.target : (record?.base ?? null)
      if (of === null || of === accepted || (await repository.resolve(of)) === null) return accepted
      return accepted === null || (await repository.isAncestor(accepted, of)) ? of : accepted
    },

    async reached(accepted) {
      if (record?.state !== 'done' || record.target === accepted?.revision) return null
      if (record.base !== (accepted?.revision ?? null)) return null
      const fleet = await fleetOf(record.target)
      return fleet === null ? null : { revision: record.target, fleet }
    },

    async leaveBehind(revision) {
      if (record === null || record.target === revision) return
      const { sequence } = record
      await keep({
        ...record,
        sequence: sequence + 1,
        state: 'done',
        base: revision,
        target: revision,
        nodes: [],
      })
    },

    record: current,

    async take(candidate, accepted) {
      const known = current(accepted)
      if (known !== null && known.target === candidate.revision) {
        fleets.set(candidate.revision, candidate.fleet)
        return known.state === 'failed' ? 'refuse' : known.state === 'done' ? 'accept' : 'wait'
      }
      if (accepted?.revision === candidate.revision && (known === null || known.state === 'done'))
        return 'accept'
      if (suspended()) return 'wait'
      if (goesAtOnce(candidate, accepted)) return 'accept'
      return (await begin(candidate, accepted)).state === 'done' ? 'accept' : 'begun'
    },

    async assemble(accepted) {
      const known = current(accepted)
      const under = known === null || known.state === 'done' ? null : known
      const fleet = under === null ? null : await fleetOf(under.target)
      const target = under !== null && fleet !== null ? { revision: under.target, fleet } : null
      const held = new Map<Revision, DesiredFleet>()
      for (const { revision } of holds) {
        const of = revision === null ? null : await fleetOf(revision).catch(() => null)
        if (of !== null) held.set(revision!, of)
      }
      forgetFleets()
      const of = accepted ?? target
      if (of === null) return null
      const { nodes, exceptions } = assembleFleet({ base: accepted, target, rollout: known, holds, held })
      return { revision: of.revision, fleet: { nodes, fleet: of.fleet.fleet }, exceptions }
    },

    async advance(accepted, wants, reports) {
      const known = current(accepted)
      if (known === null || suspended()) return false
      const nodes = new Map(
        known.nodes.map(({ name }) => [
          name,
          { wanted: wants.get(name)?.generation ?? null, report: reports.get(name) ?? null },
        ]),
      )
      const next = nextWave(known, { nodes, probes: probes.results() }, now())!
      if (next === known) return false
      await keep(next)
      tell(log, known, next)
      return true
    },

    isMoving(accepted) {
      const known = current(accepted)
      if (known === null || known.state === 'running') return known !== null
      const end = known.state === 'done' ? 'target' : 'base'
      return known.nodes.some(({ side, changingSince }) => changingSince !== null || side !== end)
    },

    async probe() {
      // One that has no answer yet is not asked again: it would count twice.
      if (isProbing || record?.state !== 'running' || suspended()) return
      isProbing = true
      try {
        await probes.try(record.gates?.probes ?? [])
      } finally {
        isProbing = false
      }
    },

    async noteRevert({ branch, pull }) {
      await keep({ ...record!, reverted: branch, revertPull: pull, sequence: record!.sequence + 1 })
    },
  }
}

function tell(log: Log, before: Rollout, after: Rollout): void {
  const { target: revision, waves } = after
  const wave = waves[after.wave]
  for (const [index, { name, side }] of after.nodes.entries())
    if (side !== before.nodes[index]!.side) log.info({ revision, node: name, wave, side }, 'node changes')
  if (after.wave !== before.wave) log.info({ revision, wave }, 'wave opens')
  if (after.state === before.state) return
  if (after.state === 'done') log.info({ revision }, 'rollout done')
  else log.error({ revision, wave, gate: after.failure?.gate }, `rollout stopped: ${after.failure?.message}`)
}
