import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { makeFleetStatus } from '../../reconciler/drift/make-fleet-status.ts'
import {
  createReconcilerApp,
  type ReconcilerApp,
  type ReconcilerAppOptions,
} from '../../reconciler/http/reconciler-server.ts'
import { startServer } from '../../reconciler/http/server.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import { REPORT_VERSION } from '../../schemas/report.ts'
import { REVISION_STATE_VERSION, type RevisionState } from '../../schemas/revision-state.ts'
import { sha256 } from './sign.ts'

export const SECRET = 'correct horse battery staple'
export const SIGNING_TOKEN = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
export const TOKENS = { read: 'token-that-reads', operate: 'token-that-operates' }

export interface ServedApp extends ReconcilerApp {
  readonly url: string
  readonly dir: string
  /** ms since the epoch, as the app has it. */
  readonly clock: { now: number }
  looks(): number
  log(): string
  fetch(path: string, init?: RequestInit & { token?: string }): Promise<Response>
}

const revision = 'a'.repeat(40)
const digest = 'b'.repeat(64)

export const makeReport = (node: string, change: Partial<NodeReport> = {}): NodeReport => ({
  version: REPORT_VERSION,
  node,
  at: Date.now(),
  worker: { pid: 1, startedAt: 0, version: '0' },
  want: { generation: 5, revision, stateDigest: digest },
  outcome: 'applied',
  outcomeAt: 0,
  edits: { create: 0, update: 0, delete: 0 },
  failures: [],
  pending: [],
  drift: [],
  observedDigest: digest,
  ringsDigest: null,
  facts: {},
  ...change,
})

export const makeDrift = (healedAt: number | null): DriftItem => ({
  driver: 'xdp',
  key: 'service/203.0.113.10:80/tcp',
  kind: 'missing',
  desired: { any: 'thing' },
  observed: null,
  since: 10,
  healedAt,
})

export const repository: RevisionState = {
  version: REVISION_STATE_VERSION,
  seen: revision,
  accepted: revision,
  rejected: null,
  branch: 'main',
  problems: [],
  pull: null,
  at: 0,
}

/** A fleet that nobody runs: what there is, is said by the test. */
export function makeFleet(
  reports: readonly NodeReport[],
  revisions: RevisionState | null = repository,
  drift: readonly DriftRecord[] = [],
): ReconcilerAppOptions['fleet'] {
  const byNode = new Map(reports.map(report => [report.node, report]))
  return {
    readStatus: async () =>
      makeFleetStatus({ revisions, wants: new Map(), reports: byNode, now: Date.now() }),
    readReports: async () => reports,
    readDrift: async () => drift,
    readCounters: async () => [],
    plan: async () => planFleet({ base: null, head: null, before: new Map(), after: new Map(), names: {} }),
  }
}

export async function serveApp(
  t: Pick<TestContext, 'after'>,
  change: Partial<ReconcilerAppOptions> = {},
): Promise<ServedApp> {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-http-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const [webhookSecretFile, apiTokensFile] = [join(dir, 'webhook.secret'), join(dir, 'tokens.yaml')]
  writeFileSync(webhookSecretFile, `# old and new\nanother one\n${SECRET}\n${SIGNING_TOKEN}\n`, {
    mode: 0o600,
  })
  const entries = Object.entries(TOKENS).map(
    ([role, token]) => `  - { name: the one that may ${role}, role: ${role}, sha256: ${sha256(token)} }`,
  )
  writeFileSync(apiTokensFile, `tokens:\n${entries.join('\n')}\n`, { mode: 0o600 })
  let looks = 0
  let said = ''
  const clock = { now: Date.now() }
  const destination = new Writable({
    write(chunk, _encoding, done) {
      said += chunk
      done()
    },
  })
  const app = createReconcilerApp({
    version: '0.0.0',
    branch: async () => 'main',
    webhookSecretFile,
    apiTokensFile,
    trustedProxies: undefined,
    fleet: makeFleet([makeReport('lb-1')]),
    look: () => looks++,
    review: null,
    readPage: async (_kind, id) => (id.startsWith('a') ? `<p>${id}</p>` : null),
    log: createLog({ level: 'trace', format: 'json', destination }),
    now: () => clock.now,
    ...change,
  })
  const server = await startServer(app.app, '127.0.0.1:0')
  const url = `http://${server.address}`
  t.after(async () => {
    app.end()
    await server.stop(0)
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    ...app,
    url,
    dir,
    clock,
    looks: () => looks,
    log: () => said,
    fetch: (path, { token, ...init } = {}) =>
      fetch(url + path, {
        ...init,
        headers: { ...init.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      }),
  }
}
