import { asBallastError } from '../../schemas/ballast-error.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import type { Revision, Want } from '../../schemas/want.ts'
import type { CommitStatus, Forge } from '../forge/forge.ts'
import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import { describeFrozen } from '../render/rollout-words.ts'
import { frozenOf } from '../rollout/freeze.ts'

const FLEET_CONTEXT = 'ballast/fleet'

export interface TellOptions {
  readonly forge: Forge
  readonly readWants: () => Promise<ReadonlyMap<string, Want>>
  readonly readReports: () => Promise<ReadonlyMap<string, NodeReport>>
  readonly readRollout: () => Promise<Rollout | null>
  /** Keeps all that is to be said of a revision that failed, and gives where people read it; null: nowhere. */
  readonly pageOf: (revision: Revision, text: string) => Promise<string | null>
  readonly leads: () => boolean
  readonly log: Log
  /** ms between two looks. */
  readonly interval: number
}

/** Of a refusal: what fits a status, and all of it. */
export interface Problem {
  readonly line: string
  readonly all: string
}

/** Says in the forge how far a revision has come on its way to the nodes. */
export interface RevisionTeller {
  /** There is a revision to follow. */
  accepted(): void
  /** A node may be further. */
  reported(): void
  refused(revision: Revision, problem: Problem): void
  stop(): Promise<void>
}

export function createRevisionTeller(options: TellOptions): RevisionTeller {
  const { forge, log } = options
  const said = new Map<Revision, string>()
  const refusals = new Map<Revision, Problem>()
  /** Of what failed: what its page says, and where that is. */
  const pages = new Map<Revision, { readonly text: string; readonly url: string | null }>()
  /** Every node has what it should, so that heartbeats tell nothing new. */
  let isSettled = false
  /** The forge asked not to be asked before. */
  let quietUntil = 0

  async function say(revision: Revision, status: Omit<CommitStatus, 'context'>): Promise<void> {
    const text = JSON.stringify(status)
    if (said.get(revision) === text) return
    await forge.putStatus(revision, { context: FLEET_CONTEXT, ...status })
    said.delete(revision)
    said.set(revision, text)
    if (said.size > KEPT) said.delete(said.keys().next().value!)
  }

  async function pageOf(revision: Revision, text: string): Promise<string | null> {
    const known = pages.get(revision)
    if (known?.text === text) return known.url
    const url = await options.pageOf(revision, text)
    pages.delete(revision)
    pages.set(revision, { text, url })
    if (pages.size > KEPT_REFUSALS) pages.delete(pages.keys().next().value!)
    return url
  }

  async function tell(): Promise<void> {
    const [wants, reports] = [await options.readWants(), await options.readReports()]
    const rollout = await options.readRollout()
    // What takes a revision back comes later than its refusal, which then leads there.
    for (const [revision, problem] of refusals) {
      const pull = rollout?.target === revision ? rollout.revertPull : null
      const url = pull ?? (await pageOf(revision, problem.all))
      await say(revision, { state: 'failure', description: `Refused: ${problem.line}`, url })
    }
    const progress = judgeProgress({ wants, reports, rollout, now: Date.now() })
    if (progress !== null) {
      const { revision, status } = progress
      const url = status.state === 'failure' ? await pageOf(revision, status.description) : null
      await say(revision, { ...status, url })
    }
    isSettled = progress?.status.state === 'success'
  }

  const loop = createLoop(
    async () => {
      if (!options.leads() || Date.now() < quietUntil) return
      await tell()
      // A storm of reports is one look.
      await new Promise(resolve => setTimeout(resolve, options.interval))
    },
    error => {
      quietUntil = Date.now() + asBallastError(error).waitMs
      log.warn({ err: error }, 'the forge was not told; trying again')
    },
  )
  /** What was not said is said then. */
  const timer = setInterval(() => loop.trigger('interval'), RETRY_MS)

  return {
    accepted() {
      isSettled = false
      loop.trigger('accepted')
    },
    reported() {
      if (!isSettled) loop.trigger('news')
    },
    refused(revision, problem) {
      refusals.delete(revision)
      refusals.set(revision, problem)
      if (refusals.size > KEPT_REFUSALS) refusals.delete(refusals.keys().next().value!)
      loop.trigger('refused')
    },
    async stop() {
      clearInterval(timer)
      await loop.stop()
    },
  }
}

const KEPT = 1000
const KEPT_REFUSALS = 20
const RETRY_MS = 15_000

interface Progress {
  readonly revision: Revision
  readonly status: Omit<CommitStatus, 'context' | 'url'>
}

interface ProgressView {
  readonly wants: ReadonlyMap<string, Want>
  readonly reports: ReadonlyMap<string, NodeReport>
  readonly rollout: Rollout | null
  readonly now: number
}

/** How far the newest revision has come that nodes are told of, or that waits for a window; null: there is none. */
export function judgeProgress({ wants, reports, rollout, now }: ProgressView): Progress | null {
  const newest = [...wants.values()].reduce<Want | null>(
    (best, want) => (best === null || want.generation > best.generation ? want : best),
    null,
  )
  const frozen = rollout?.state === 'running' ? frozenOf(rollout, now).map(describeFrozen).join('; ') : ''
  // One that no node is told of yet. A record of what was accepted before another revision says nothing.
  if (rollout !== null && frozen !== '' && rollout.base === (newest?.revision ?? null))
    return { revision: rollout.target, status: { state: 'pending', description: `Queued: ${frozen}` } }
  if (newest === null) return null
  const { revision } = newest
  const asked = [...wants.values()].filter(want => want.revision === revision)
  const answers = asked.map(want => {
    const report = reports.get(want.node)
    return report?.want?.generation === want.generation ? { want, report } : { want, report: null }
  })
  const failed = answers.find(({ report }) => report?.outcome === 'failed' || report?.outcome === 'refused')
  const done = answers.filter(({ report }) => report?.outcome === 'applied' || report?.outcome === 'pending')
  const count = `${done.length} of ${asked.length} ${asked.length === 1 ? 'node' : 'nodes'}`
  if (failed?.report != null) {
    const [failure] = failed.report.failures
    const why = failure === undefined ? failed.report.outcome : `${failure.code}: ${failure.message}`
    return {
      revision,
      status: { state: 'failure', description: `Applied on ${count}; ${failed.want.node}: ${why}` },
    }
  }
  if (done.length < asked.length) {
    const queued = done.length === 0 ? 'Queued: applied' : 'Applied'
    return { revision, status: { state: 'pending', description: `${queued} on ${count}` } }
  }
  if (rollout?.state === 'running' && rollout.target === revision) {
    const { wave, waves, nodes } = rollout
    const place = frozen || `wave ${wave + 1} of ${waves.length} (${waves[wave]}) of ${nodes.length} nodes`
    return { revision, status: { state: 'pending', description: `Applied on ${count}; ${place}` } }
  }
  const last = done.reduce(
    (ms, { want, report }) => Math.max(ms, (report?.outcomeAt ?? want.at) - want.at),
    0,
  )
  return {
    revision,
    status: { state: 'success', description: `Applied on ${count}, the last after ${last} ms` },
  }
}
