import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type BoardSettings, openBoard } from '../../reconciler/commands/open-board.ts'
import { readStatus } from '../../reconciler/commands/status.ts'
import { silentLog } from '../../reconciler/log/log.ts'
import { type Program, runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'

const CLI = fileURLToPath(new URL('../../reconciler/cli.ts', import.meta.url))
const WAIT_MS = 30_000

export type Files = Readonly<Record<string, string>>

/** A Ballast of real processes on one machine: bare repository, redis-server, reconciler, workers. */
export interface TestFleet {
  readonly dir: string
  readonly repo: string
  readonly stateDir: string
  /** Commits exactly these files and pushes; gives the revision. `force` rewrites the branch with an unrelated history. */
  push(files: Files, options?: { force?: boolean }): Promise<string>
  git(...args: string[]): Promise<string>
  /** A redis-server that outlives reconcilers, where they look for their own. */
  startRedis(): Promise<Program>
  startReconciler(...flags: string[]): Promise<Program>
  /** Simulated drivers unless `before` (for instance nsenter) and flags say otherwise. */
  startWorker(node: string, options?: { before?: string[]; flags?: string[] }): Promise<Program>
  ballast(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }>
  status(): Promise<FleetStatus>
  /** Waits until a status is as `accept` says; fails with the last status after 30 s. */
  until(what: string, accept: (status: FleetStatus) => boolean): Promise<FleetStatus>
  untilApplied(revision: string): Promise<FleetStatus>
  /** What the processes have said so far. */
  log(): string
}

/** `redis`: where reconcilers, workers and `status` find it; without it, in the state directory. */
export async function createFleet(
  t: TestContext,
  redis: Omit<BoardSettings, 'stateDir'> = {},
): Promise<TestFleet> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-fleet-'))
  const [repo, tree, stateDir] = [join(dir, 'fleet.git'), join(dir, 'tree'), join(dir, 'state')]
  const programs: Program[] = []
  let said = ''
  t.after(async () => {
    for (const program of programs.reverse()) await program.stop(3000)
    // A reconciler that was killed leaves the redis-server that it started.
    const socket = join(stateDir, 'redis/redis.sock')
    await runCommand('redis-cli', ['-s', socket, 'shutdown', 'nosave'], {
      okExitCodes: [0, 1],
      timeout: 5_000,
    })
    await rm(dir, { recursive: true, force: true })
  })
  const board = openBoard({ stateDir, ...redis }, silentLog())
  const there = redis.redis === undefined ? [] : ['--redis', redis.redis]
  t.after(() => board.close())
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  const git = async (...args: string[]): Promise<string> =>
    (await runCommand('git', ['-C', tree, ...args], { env })).stdout.trim()
  await runCommand('git', ['init', '-q', '--bare', '-b', 'main', repo], { env })
  await runCommand('git', ['clone', '-q', repo, tree], { env, okExitCodes: [0] })
  await git('config', 'user.name', 'tester')
  await git('config', 'user.email', 'tester@example.org')
  await git('checkout', '-q', '-B', 'main')

  const start = async (command: string[]): Promise<Program> => {
    const [file, ...args] = command
    const program = await startProgram(file!, args, { stderr: 'pipe' })
    program.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    programs.push(program)
    return program
  }
  const fleet: TestFleet = {
    dir,
    repo,
    stateDir,
    git,
    async push(files, { force = false } = {}) {
      if (force) await git('checkout', '-q', '--orphan', `rewrite-${Date.now()}`)
      await git('rm', '-rfq', '--ignore-unmatch', '.')
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(tree, path)), { recursive: true })
        await writeFile(join(tree, path), text)
      }
      await git('add', '-A')
      await git('commit', '-q', '--allow-empty', '-m', 'a change')
      await git('push', '-q', ...(force ? ['--force'] : []), 'origin', 'HEAD:main')
      return git('rev-parse', 'HEAD')
    },
    startRedis: () => start([process.execPath, CLI, 'redis', '--state-dir', stateDir]),
    startReconciler: (...flags) =>
      start([
        process.execPath,
        CLI,
        'reconciler',
        '--repo',
        repo,
        '--state-dir',
        stateDir,
        ...there,
        ...flags,
      ]),
    startWorker: (node, { before = [], flags = ['--driver', 'simulated', '--scan-interval', '200'] } = {}) =>
      start([
        ...before,
        process.execPath,
        CLI,
        'worker',
        '--node',
        node,
        '--state-dir',
        stateDir,
        ...there,
        ...flags,
      ]),
    ballast: (...args) =>
      runCommand(process.execPath, [CLI, ...args], { okExitCodes: [0, 1, 2], timeout: WAIT_MS }),
    status: async () => readStatus(board),
    async until(what, accept) {
      const end = Date.now() + WAIT_MS
      let last: unknown = null
      while (Date.now() < end) {
        try {
          const status = await fleet.status()
          if (accept(status)) return status
          last = status
        } catch (error) {
          last = error
        }
        await delay(50)
      }
      throw new Error(
        `${what}: not within ${WAIT_MS} ms; last: ${JSON.stringify(last, null, 1)}\n${said.slice(-6000)}`,
      )
    },
    untilApplied: revision =>
      fleet.until(
        `every node applies ${revision}`,
        ({ inSync, repository, nodes }) => inSync && repository?.accepted === revision && nodes.length > 0,
      ),
    log: () => said,
  }
  return fleet
}

/** Asks again until it is so; fails after 30 s. */
export async function waitFor(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${WAIT_MS} ms`)
    await delay(50)
  }
}

export interface FleetShape {
  readonly nodes?: readonly string[]
  /** Per service name: VIP's last byte and backends' last bytes. */
  readonly services?: Readonly<Record<string, { vip: number; backends: readonly number[] }>>
  readonly drift?: 'repair' | 'hold'
  readonly interfaces?: string
}

/** A valid fleet, small enough to read. */
export function makeFiles(shape: FleetShape = {}): Files {
  const {
    nodes = ['lb-1', 'lb-2'],
    services = { web: { vip: 10, backends: [1, 2] } },
    drift = 'repair',
  } = shape
  const document = (kind: string, name: string, spec: object): string =>
    JSON.stringify({ apiVersion: 'ballast.dev/v1', kind, metadata: { name }, spec }, null, 2)
  const files: Record<string, string> = { 'fleet.yaml': document('Fleet', 'test', { drift }) }
  for (const [index, node] of nodes.entries()) {
    files[`nodes/${node}.yaml`] = document('Node', node, {
      interfaces: [{ name: shape.interfaces ?? 'eth0' }],
      sources: { ipv4: `10.0.0.${index + 1}/32` },
      capacity: { flows: 4096, services: 1024, members: 4096 },
    })
  }
  for (const [name, { vip, backends }] of Object.entries(services)) {
    files[`services/${name}.yaml`] = document('Service', name, {
      vip: `203.0.113.${vip}`,
      ports: [{ port: 80, protocol: 'tcp' }],
      backends: backends.map(host => ({ address: `10.0.1.${host}` })),
    })
  }
  return files
}
