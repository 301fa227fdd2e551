import type { ControllerEvent } from '../controller/controller-event.ts'
import { createReconcilerApp, type ReconcilerApp } from '../http/reconciler-server.ts'
import { startServer } from '../http/server.ts'
import type { Log } from '../log/log.ts'
import type { DriftTold } from '../metrics/drift-metrics.ts'
import { createCounters } from '../queue/counters.ts'
import type { Source } from '../repo/source.ts'
import type { ForgePages } from './forge-pages.ts'
import { makePlan } from './make-plan.ts'
import type { OpenBoard } from './open-board.ts'
import { CommandFailure } from './outcome.ts'
import { createDriftReader } from './read-drift.ts'
import { readObservedFleet } from './read-live-fleet.ts'
import { readStatus } from './status.ts'
import { VERSION } from './version.ts'

/** The settings of what the reconciler answers by HTTP. */
export const HTTP_SETTINGS = [
  'listen',
  'publicUrl',
  'webhookSecretFile',
  'apiTokensFile',
  'trustedProxies',
] as const

export interface ServeOptions {
  readonly settings: {
    readonly [S in (typeof HTTP_SETTINGS)[number]]: string | undefined
  } & { readonly path: string }
  readonly source: Source
  readonly board: OpenBoard
  readonly look: () => void
  /** A pull request has news; null: they are not reviewed here. */
  readonly review: ((number: number) => void) | null
  readonly readPage: ForgePages['read']
  readonly log: Log
}

export interface Served {
  /** For the controller: what happens goes into metrics and events. */
  observe(event: ControllerEvent): void
  /** What the metrics of drift are read from. */
  watchDrift(read: () => Promise<DriftTold>): void
  stop(): Promise<void>
}

/** Answers HTTP when `listen` is set. Throws `LISTEN_FAILED`, `SECRET_FILE_UNUSABLE`. */
export async function serveReconciler(options: ServeOptions): Promise<Served> {
  const { settings, source, board, look, review, readPage, log } = options
  if (settings.listen === undefined) return { observe: () => {}, watchDrift: () => {}, stop: async () => {} }
  const readDrift = createDriftReader(board)
  const http = createReconcilerApp({
    ...settings,
    version: VERSION,
    branch: rememberBranch(source),
    look,
    review,
    readPage,
    log,
    now: Date.now,
    fleet: {
      readStatus: () => readStatus(board),
      readReports: async () => [...(await board.reports.readAll()).values()],
      readDrift: async () => (await readDrift()).records,
      readCounters: nodes => createCounters(board.connection).readAll(nodes),
      plan: ({ from, to }) =>
        makePlan({
          source,
          path: settings.path,
          from,
          to,
          readObserved: from === undefined ? () => readObservedFleet(board, Date.now()) : undefined,
        }).then(
          made => made.plan,
          (error: unknown) => {
            if (error instanceof CommandFailure) return error.message
            throw error
          },
        ),
    },
  })
  const server = await startServer(http.app, settings.listen)
  log.info({ address: server.address }, 'answering HTTP')
  return {
    observe: event => observe(http, event),
    watchDrift: http.watchDrift,
    async stop() {
      http.end()
      await server.stop()
    },
  }
}

/** ms; asking runs Git, and a storm of webhooks asks often. */
const BRANCH_KNOWN_MS = 5_000

function rememberBranch(source: Source): () => Promise<string | null> {
  let known: { readonly at: number; readonly branch: Promise<string | null> } | null = null
  return () => {
    const at = performance.now()
    // When it cannot be said, a push of any branch may be of it.
    if (known === null || at - known.at > BRANCH_KNOWN_MS)
      known = { at, branch: source.branch().catch(() => null) }
    return known.branch
  }
}

/** Of the diagnostics of one revision, in an event. */
const MOST_DIAGNOSTICS = 20

function observe({ metrics, publish, reported }: ReconcilerApp, event: ControllerEvent): void {
  switch (event.type) {
    case 'looked':
      metrics.looked()
      break
    case 'phase':
      metrics.phase(event.phase, event.seconds)
      break
    case 'reported':
      reported(event.report)
      break
    case 'push-seen':
      metrics.pushSeen()
      publish(event)
      break
    case 'accepted':
      metrics.accepted()
      publish(event)
      break
    case 'refused': {
      metrics.refused()
      const { type, revision, diagnostics } = event
      publish({
        type,
        revision,
        problems: diagnostics.length,
        diagnostics: diagnostics.slice(0, MOST_DIAGNOSTICS),
      })
      break
    }
  }
}
