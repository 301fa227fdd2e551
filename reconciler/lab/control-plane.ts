import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { FleetStatus } from '../../schemas/fleet-status.ts'
import { type CommandResult, type Program, runCommand, startProgram } from '../process/run-command.ts'
import type { Lab } from './lab.ts'
import { readJsonLines } from './read-json-lines.ts'
import { birdPlace, gobgpApi, runtimeDir } from './routing.ts'
import { CONTROL } from './topology.ts'

/** One line of a process's log. */
const LogLine = z.looseObject({ time: z.number(), level: z.string(), msg: z.string().default('') })
export type LogEvent = z.infer<typeof LogLine> & { readonly process: string }

/** Ballast's own processes in a lab: the reconciler with its Redis, a worker on each load balancer. */
export interface ControlPlane {
  /** What they said so far, in order of arrival. */
  readonly events: readonly LogEvent[]
  startReconciler(): Promise<void>
  /** `daemon`: what speaks BGP there; `bird` when left out. */
  startWorker(node: string, daemon?: 'bird' | 'gobgp'): Promise<void>
  /** SIGKILL; resolves when the process is gone. */
  killWorker(node: string): Promise<void>
  /** `ballast ARGS`. Exit codes 0 and 2 are answers. */
  ballast(...args: string[]): Promise<CommandResult>
  status(): Promise<FleetStatus>
  /** Ends the workers, then the reconciler. */
  stop(): Promise<void>
}

const CLI = resolve(import.meta.dirname, '../cli.ts')

/** Where the lab's processes keep what must survive a restart, and where their Redis listens. */
const stateDir = (lab: Lab): string => join(lab.dir, 'state')
export const redisSocket = (lab: Lab): string => join(stateDir(lab), 'redis/redis.sock')

/**
 * Writes the settings of all processes of a lab as one file, and gives its path. Without `redis` the
 * reconciler starts its own.
 */
export async function writeSettings(lab: Lab, settings: { repo: string; redis?: string }): Promise<string> {
  const file = join(lab.dir, 'ballast.yaml')
  const all = {
    ...settings,
    stateDir: stateDir(lab),
    runtimeDir: runtimeDir(lab),
    bpffs: lab.bpffs,
    scanInterval: 1000,
    reportInterval: 1000,
  }
  await writeFile(file, stringify(all))
  return file
}

export function createControlPlane(lab: Lab, settings: string): ControlPlane {
  const events: LogEvent[] = []
  const programs = new Map<string, Program>()

  async function start(name: string, host: string, ...command: string[]): Promise<void> {
    const args = [...command, '--config', settings, '--log-format', 'json'] as const
    const program = await startProgram(...lab.on(host, [process.execPath, CLI, ...args]), { stderr: 'pipe' })
    programs.set(name, program)
    const say = (event: z.infer<typeof LogLine>): unknown => events.push({ ...event, process: name })
    readJsonLines(program.stderr!, LogLine, {
      each: say,
      other: msg => say({ time: Date.now(), level: 'error', msg }),
    })
  }

  const ballast = async (...args: string[]): Promise<CommandResult> =>
    await runCommand(process.execPath, [CLI, ...args, '--config', settings], {
      okExitCodes: [0, 2],
      timeout: 30_000,
    })

  return {
    events,
    startReconciler: () => start('reconciler', CONTROL, 'reconciler'),
    startWorker: (node, daemon = 'bird') => {
      const place =
        daemon === 'bird'
          ? ['--bird-socket', birdPlace(lab, node).socket]
          : ['--bgp-daemon', daemon, '--gobgp-api', gobgpApi(lab, node)]
      return start(node, node, 'worker', '--node', node, ...place)
    },
    async killWorker(node) {
      const program = programs.get(node)
      if (program === undefined) throw new Error(`no worker was started on ${node}`)
      process.kill(program.pid, 'SIGKILL')
      await program.exited
    },
    ballast,
    status: async () => FleetStatus.parse(JSON.parse((await ballast('status', '--json')).stdout)),
    async stop() {
      const { reconciler, ...workers } = Object.fromEntries(programs)
      await Promise.all(Object.values(workers).map(program => program.stop()))
      await reconciler?.stop()
    },
  }
}
