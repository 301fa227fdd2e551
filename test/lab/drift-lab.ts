import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parse, stringify } from 'yaml'
import { openBoard } from '../../reconciler/commands/open-board.ts'
import { type ControlPlane, createControlPlane, writeSettings } from '../../reconciler/lab/control-plane.ts'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { createPolicyRepository, type PolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { startRouting } from '../../reconciler/lab/routing.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'
import { silentLog } from '../../reconciler/log/log.ts'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import { type GitServer, serveGit } from '../repo/git-server.ts'
import { type Injection, makeInjection, type Victim } from './by-hand.ts'

export const NODES = ['lb-1', 'lb-2'] as const
export const BRANCH = 'ballast/drift'
/** The one that is only reported of. */
export const HELD: Victim = { vip: '203.0.113.99' }
const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
/** Of all nodes, on a machine with other work. */
const SETTLE_LIMIT_MS = 180_000

/** A lab with BGP whose drift is committed to a Git server over HTTP. */
export interface DriftLab {
  readonly lab: Lab
  readonly control: ControlPlane
  readonly server: GitServer
  readonly victims: readonly Victim[]
  /** The latest report of a node; null before its first. */
  report(node: string): NodeReport | null
  /** What the reconciler knows of the fleet, and is open. */
  ofFleet(): Promise<readonly DriftRecord[]>
  /** `ballast drift` with these flags. */
  show(...flags: string[]): Promise<{ readonly exitCode: number; readonly stdout: string }>
  /** In the repository that drift is committed to. */
  git(...args: string[]): Promise<string>
  /** Waits until all nodes have applied what is pushed last, are all right, and the router leads to VIPs over all. */
  settle(): Promise<void>
  /** A revision that changes one weight, and waits for it: fights are forgotten by it. */
  pushSomething(): Promise<void>
}

export interface DriftLabOptions {
  readonly name: string
  readonly victims: number
  /** ms. */
  readonly commitAfter: number
  /** ms; what is the default when left out. */
  readonly scanInterval?: number
  readonly alerts?: object
}

type After = { after(work: () => unknown): void }

/** What is to be done when the work is over, last first. */
export async function withDriftLab<Result>(
  { name, victims: count, commitAfter, scanInterval = 2_000, alerts }: DriftLabOptions,
  work: (drift: DriftLab) => Promise<Result>,
): Promise<Result> {
  const ends: (() => unknown)[] = []
  const after: After = { after: end => void ends.unshift(end) }
  const reports = new Map<string, NodeReport>()
  let control: ControlPlane | null = null
  try {
    const lab = await labUp(name, process.pid)
    after.after(() => labDown(name))
    await startRouting(lab)
    await startBackends(lab)
    const policy = await createPolicyRepository(lab.dir)
    const victims = Array.from({ length: count }, (_, at) => ({ vip: `203.0.113.${100 + at}` }))
    await writeServices(policy, victims)
    await policy.commit('a fleet to be spoilt')
    const { revision } = await policy.push()
    const { server, bare } = await serveDriftRepository(after, lab)
    const file = await writeSettings(lab, { repo: policy.bare })
    await addSettings(file, {
      driftRepo: `${server.url}/drift.git`,
      driftCommitAfter: commitAfter,
      scanInterval,
      ...(alerts && { alerts }),
    })
    control = createControlPlane(lab, file)
    // Not in a namespace of the lab: it speaks to servers of this machine.
    const reconciler = await startProgram(
      process.execPath,
      [CLI, 'reconciler', '--config', file, '--log-format', 'json'],
      { stderr: 'inherit' },
    )
    after.after(() => reconciler.stop(5_000))
    after.after(() => control?.stop())
    await Promise.all(NODES.map(node => control!.startWorker(node)))
    const following = new AbortController()
    const board = openBoard({ stateDir: join(lab.dir, 'state') }, silentLog())
    after.after(() => board.close())
    after.after(() => following.abort())
    void follow(board, following.signal, reports)
    const git = async (...args: string[]): Promise<string> =>
      (
        await runCommand('git', ['-C', bare, ...args], { okExitCodes: [0, 128], timeout: 30_000 })
      ).stdout.trim()
    const wanted = { revision, weight: 50 }
    const settle = async (): Promise<void> => {
      await waitUntil(
        { what: `every node to be as ${wanted.revision} wants it`, deadline: SETTLE_LIMIT_MS },
        () => (NODES.every(node => isSettled(reports.get(node), wanted.revision)) ? true : null),
      )
      await untilRouted(lab, HELD.vip, NODES)
    }
    const drift: DriftLab = {
      ...{ lab, control, server, victims, git, settle },
      report: node => reports.get(node) ?? null,
      async ofFleet() {
        const { drift: known } = await board.fleetDrift.read()
        return (known?.records ?? []).filter(({ healedAt }) => healedAt === null)
      },
      show: async (...flags) =>
        runCommand(process.execPath, [CLI, 'drift', '--state-dir', join(lab.dir, 'state'), ...flags], {
          okExitCodes: [0, 2],
        }),
      async pushSomething() {
        const before = `weight: ${wanted.weight}`
        wanted.weight = wanted.weight === 50 ? 60 : 50
        await policy.replace('pools/web.yaml', before, `weight: ${wanted.weight}`)
        await policy.commit('another weight')
        wanted.revision = (await policy.push()).revision
        await settle()
      },
    }
    await drift.settle()
    return await work(drift)
  } catch (error) {
    const said = control?.events.slice(-20).map(event => JSON.stringify(event)) ?? []
    const reported = [...reports.values()].map(describeReport)
    const parts = [(error as Error).message, ...reported, 'the last that workers said:', ...said]
    throw new Error(parts.join('\n'), { cause: error })
  } finally {
    for (const end of ends) await end()
  }
}

const describeReport = ({ node, at, want, outcome, failures, pending, drift }: NodeReport): string => {
  const open = drift
    .filter(({ healedAt }) => healedAt === null)
    .map(({ driver, key, kind }) => `${driver} ${key} ${kind}`)
  return `${node}, ${Date.now() - at} ms ago: ${JSON.stringify({ want, outcome, failures, pending, open })}`
}

const isSettled = (report: NodeReport | undefined, revision: string): boolean =>
  report?.want?.revision === revision &&
  (report.outcome === 'applied' || report.outcome === 'held') &&
  report.drift.every(({ healedAt }) => healedAt !== null)

async function follow(
  board: ReturnType<typeof openBoard>,
  signal: AbortSignal,
  reports: Map<string, NodeReport>,
): Promise<void> {
  for await (const report of board.reports.stream(signal)) reports.set(report.node, report)
}

async function writeServices(policy: PolicyRepository, victims: readonly Victim[]): Promise<void> {
  // Or what it announces would stay away when BIRD was restarted.
  const held = { drift: 'hold', driftByKind: { missing: 'repair' } }
  const all = [...victims.map(each => ({ ...each, rule: { drift: 'repair' } })), { ...HELD, rule: held }]
  for (const { vip, rule } of all) {
    const name = `v-${vip.split('.').at(-1)}`
    const spec = { vip, ports: [{ port: 80, protocol: 'tcp' }], pool: 'web', announce: true, ...rule }
    const service = { apiVersion: 'ballast.dev/v1', kind: 'Service', metadata: { name }, spec }
    await writeFile(join(policy.clone, `services/${name}.yaml`), stringify(service))
  }
}

async function serveDriftRepository(after: After, lab: Lab) {
  const root = join(lab.dir, 'git')
  const bare = join(root, 'drift.git')
  await mkdir(root)
  await runCommand('git', ['init', '--quiet', '--bare', bare])
  await runCommand('git', ['-C', bare, 'config', 'http.receivepack', 'true'])
  return { server: await serveGit(after, root), bare }
}

async function addSettings(file: string, settings: object): Promise<void> {
  await writeFile(file, stringify({ ...parse(await readFile(file, 'utf8')), ...settings }))
}

/** What came of an injection. Times in ms. */
export interface Outcome {
  readonly injection: Injection
  readonly at: number
  /** From the injection until it was found; null: never. */
  readonly detect: number | null
  /** Whether it is right again. */
  readonly repaired: boolean
  /** Until it was. */
  readonly end: number
}

const FIND_LIMIT_MS = 20_000

/** Kills the worker of a node. Gives what starts it anew. */
export async function killNode({ control }: DriftLab, node: string): Promise<() => Promise<void>> {
  await control.killWorker(node)
  return () => control.startWorker(node)
}

/** ms from `at` until the reconciler knows of it; null: it never did. */
export const findOnFleet = (
  drift: DriftLab,
  node: string | null,
  kind: string,
  at: number,
): Promise<number | null> =>
  waitUntil({ what: kind, deadline: 2 * FIND_LIMIT_MS }, async () =>
    (await isOpen(drift, node, kind)) ? Date.now() - at : null,
  ).catch(() => null)

/** Whether the reconciler knows of open drift of this kind; null: of any node. */
export const isOpen = async (drift: DriftLab, node: string | null, kind: string): Promise<boolean> =>
  (await drift.ofFleet()).some(each => each.kind === kind && (node === null || each.node === node))

export const inject = (drift: DriftLab, name: string, node: string, victim: Victim): Promise<Outcome> =>
  observeInjection(drift, makeInjection(name, drift.lab, node, victim))

/** Does it, and waits until it was found and is gone. */
export async function observeInjection(drift: DriftLab, injection: Injection): Promise<Outcome> {
  const at = Date.now()
  await injection.inject()
  const isIt = ({ driver, key, kind, since }: DriftItem): boolean =>
    driver === injection.driver && key === injection.key && kind === injection.kind && since >= at
  const find = () => drift.report(injection.node)?.drift.find(isIt) ?? null
  const found = await waitUntil({ what: injection.name, deadline: FIND_LIMIT_MS }, find).catch(() => null)
  if (found === null) return { injection, at, detect: null, repaired: false, end: Date.now() }
  const healed = await waitUntil(
    { what: `${injection.name} to be repaired`, deadline: FIND_LIMIT_MS },
    () => {
      const { drift: items = [], outcome } = drift.report(injection.node) ?? {}
      const isOpen = items.some(({ healedAt }) => healedAt === null)
      return !isOpen && outcome === 'applied' ? true : null
    },
  ).catch(() => null)
  return { injection, at, detect: found.since - at, repaired: healed !== null, end: Date.now() }
}
