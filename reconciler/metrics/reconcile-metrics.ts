import { Counter, Gauge, Histogram } from 'prom-client'
import type { RevisionState } from '../../schemas/revision-state.ts'
import type { Metrics } from './registry.ts'

export interface ReconcileMetrics {
  looked(): void
  pushSeen(): void
  accepted(): void
  refused(): void
  phase(phase: string, seconds: number): void
  /** Where the reconciler that leads stands, as Redis has it. */
  showRevisions(state: RevisionState | null): void
}

const PHASE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** What Git gave and what became of it, and how long the steps took. */
export function createReconcileMetrics({ registry }: Metrics, now: () => number): ReconcileMetrics {
  const registers = [registry]
  let lookedAt = now()
  let pulledAt: number | null = null
  new Gauge({
    name: 'ballast_git_last_pull_age_seconds',
    help: 'Since the branch could last be looked at; of a remote repository, since it last answered.',
    registers,
    collect() {
      this.set(Math.max(0, now() - (pulledAt ?? lookedAt)) / 1000)
    },
  })
  const counter = (name: string, help: string) => new Counter({ name, help, registers })
  const seen = counter('ballast_git_pushes_seen_total', 'Heads of the branch that this process saw.')
  const accepted = counter('ballast_git_revisions_accepted_total', 'Revisions that this process accepted.')
  const refused = counter('ballast_git_revisions_refused_total', 'Revisions that this process refused.')
  const info = new Gauge({
    name: 'ballast_git_revision_info',
    help: 'Always 1; the head that was seen and the revision that is accepted are labels.',
    labelNames: ['seen', 'accepted'],
    registers,
  })
  const isRefused = new Gauge({
    name: 'ballast_git_head_refused',
    help: '1 while the head of the branch is refused, and an older revision stays.',
    registers,
  })
  const failing = new Gauge({
    name: 'ballast_git_remote_failing',
    help: '1 while the remote repository cannot be read.',
    registers,
  })
  const phases = new Histogram({
    name: 'ballast_reconcile_phase_duration_seconds',
    help: 'How long the steps of a reconciliation took.',
    labelNames: ['phase'],
    buckets: PHASE_BUCKETS,
    registers,
  })
  return {
    looked() {
      lookedAt = now()
    },
    pushSeen: () => seen.inc(),
    accepted: () => accepted.inc(),
    refused: () => refused.inc(),
    phase: (phase, seconds) => phases.observe({ phase }, seconds),
    showRevisions(state) {
      info.reset()
      if (state !== null) info.set({ seen: state.seen ?? '', accepted: state.accepted ?? '' }, 1)
      isRefused.set(state?.rejected == null ? 0 : 1)
      failing.set(state?.pull?.error == null ? 0 : 1)
      pulledAt = state?.pull?.lastAt ?? null
    },
  }
}
