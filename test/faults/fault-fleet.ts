import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { openBoard } from '../../reconciler/commands/open-board.ts'
import { readStatus } from '../../reconciler/commands/status.ts'
import { redisSocket, writeSettings } from '../../reconciler/lab/control-plane.ts'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { createPolicyRepository, type PolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { birdPlace, startRouting } from '../../reconciler/lab/routing.ts'
import { CONTROL } from '../../reconciler/lab/topology.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { silentLog } from '../../reconciler/log/log.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { createGitServer, type GitServer } from './git-server.ts'

export const PROCESSES = ['redis', 'reconciler', 'lb-1', 'lb-2'] as const
export type ProcessName = (typeof PROCESSES)[number]

/** A lab with real load balancers whose every process can be killed. */
export interface FaultFleet {
  readonly lab: Lab
  readonly policy: PolicyRepository
  readonly git: GitServer
  readonly stateDir: string
  readonly board: ReturnType<typeof openBoard>
  /** `nodeArgs`: for Node itself, before the program. */
  start(name: ProcessName, nodeArgs?: readonly string[]): Promise<void>
  /** Settles when it has ended by itself. */
  ended(name: ProcessName): Promise<void>
  /** kill -9, and gone when this settles. */
  kill(name: ProcessName): Promise<void>
  /** SIGTERM, and gone when this settles. */
  stop(name: ProcessName): Promise<void>
  status(): Promise<FleetStatus>
  /** The last that the processes said. */
  log(): string
}

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const LOG_BYTES = 30_000

/** Everything is up but the processes; all of it is gone after the test. */
export async function createFaultFleet(t: TestContext): Promise<FaultFleet> {
  const lab = await labUp(`fault-${process.pid}`, process.pid)
  const programs = new Map<ProcessName, Program>()
  t.after(() => labDown(lab.name))
  await startRouting(lab)
  await startBackends(lab)
  const policy = await createPolicyRepository(lab.dir)
  const redis = `unix:${redisSocket(lab)}`
  const stateDir = join(lab.dir, 'state')
  await mkdir(stateDir, { recursive: true })
  const settings = ['--config', await writeSettings(lab, { repo: policy.bare, redis })]
  const git = await createGitServer(policy.bare)
  const board = openBoard({ stateDir, redis, redisPasswordFile: undefined }, silentLog())
  let said = ''
  t.after(async () => {
    board.close()
    await git.kill()
    await Promise.all([...programs.values()].map(program => program.stop(3_000)))
  })

  const commandOf = (name: ProcessName): string[] => {
    if (name === 'redis') return ['redis', '--state-dir', stateDir]
    if (name === 'reconciler') return ['reconciler', ...settings]
    return ['worker', '--node', name, '--bird-socket', birdPlace(lab, name).socket, ...settings]
  }
  const take = (name: ProcessName): Program => {
    const program = programs.get(name)
    if (program === undefined) throw new Error(`${name} does not run`)
    programs.delete(name)
    return program
  }
  return {
    lab,
    policy,
    git,
    stateDir,
    board,
    async start(name, nodeArgs = []) {
      const host = name.startsWith('lb-') ? name : CONTROL
      const [file, args] = lab.on(host, [process.execPath, ...nodeArgs, CLI, ...commandOf(name)])
      const program = await startProgram(file, args, { stderr: 'pipe' })
      program.stderr?.on('data', chunk => {
        said = `${said}${String(chunk).replaceAll(/^(?=.)/gm, `${name}: `)}`.slice(-LOG_BYTES)
      })
      programs.set(name, program)
    },
    async ended(name) {
      await programs.get(name)?.exited
    },
    async kill(name) {
      const program = take(name)
      process.kill(program.pid, 'SIGKILL')
      await program.exited
    },
    async stop(name) {
      await take(name).stop(10_000)
    },
    status: () => readStatus(board),
    log: () => said,
  }
}
