import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { readJsonLines } from '../../reconciler/lab/read-json-lines.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import { connectRedis } from '../../reconciler/queue/connection.ts'
import { composeFleet, composeService, type Files, type FleetSize, serviceFile } from './sample-fleet.ts'
import { createSampleRepository } from './sample-repository.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const LogLine = z.looseObject({ time: z.number(), level: z.string(), msg: z.string() })
type LogLine = z.infer<typeof LogLine>

export interface Applied {
  /** ms from the moment that the ref had moved until the reconciler had the report of the last node. */
  readonly ms: number
  /** ms that `git push` took: what nobody can be quicker than who counts from its start. */
  readonly push: number
}

/** A reconciler with a Redis of its own, and nodes that somebody starts. */
export interface LiveFleet {
  readonly stateDir: string
  /** Commits files on top of what is there, and waits for the last node. */
  push(files: Files): Promise<Applied>
  /** The same of one weight of one service, another each time. */
  pushChange(): Promise<Applied>
  /** Bytes that Redis has received and sent so far. */
  redisBytes(): Promise<number>
  stop(): Promise<void>
}

export interface LiveFleetOptions {
  readonly size: FleetSize
  /** Of the first revision; the whole fleet when left out. */
  readonly first?: Files
  /** Starts the workers of all nodes; ended by their `stop`. */
  readonly startNodes: (stateDir: string) => Promise<readonly Program[]>
  /** ms until every node has its first state. */
  readonly deadline: number
  /** Before the reconciler's command, for instance nsenter. */
  readonly before?: readonly string[]
}

export async function startLiveFleet({
  size,
  first: firstFiles = composeFleet(size),
  startNodes,
  deadline,
  before = [],
}: LiveFleetOptions): Promise<LiveFleet> {
  // Short: the path of a socket goes into it.
  const dir = await mkdtemp(join(tmpdir(), 'bl-bench-'))
  const stateDir = join(dir, 's')
  await mkdir(stateDir)
  const events: LogLine[] = []
  const programs: Program[] = []
  const redis = connectRedis({ socket: join(stateDir, 'redis/redis.sock') })
  let changes = 0

  async function stop(): Promise<void> {
    redis.close()
    for (const program of programs.toReversed()) await program.stop(10_000)
    await rm(dir, { recursive: true, force: true })
  }

  const untilReported = (revision: string, limit: number): Promise<LogLine> =>
    waitUntil(
      { what: `every node to report ${revision}`, deadline: limit },
      () => events.find(event => event.msg === 'every node reported' && event.revision === revision) ?? null,
    )

  try {
    const repository = await createSampleRepository(dir)
    const first = await repository.commit(firstFiles)
    await repository.push()
    const flags = ['--repo', repository.dir, '--state-dir', stateDir, '--log-format', 'json']
    const [file, ...args] = [...before, process.execPath, CLI, 'reconciler', ...flags]
    const reconciler = await startProgram(file!, args, { stderr: 'pipe' })
    programs.push(reconciler)
    readJsonLines(reconciler.stderr!, LogLine, {
      each: event => {
        events.push(event)
        if (event.level === 'error') process.stderr.write(`${JSON.stringify(event)}\n`)
      },
      other: text => process.stderr.write(`${text}\n`),
    })
    await waitUntil(
      { what: 'the reconciler', deadline: 30_000 },
      () => events.find(({ msg }) => msg === 'reconciler started') ?? null,
    )
    programs.push(...(await startNodes(stateDir)))
    await untilReported(first, deadline)
    const push = async (files: Files): Promise<Applied> => {
      const revision = await repository.commit(files)
      const { at, took } = await repository.push()
      const { time } = await untilReported(revision, 60_000)
      events.length = 0
      return { ms: time - at, push: took }
    }
    return {
      stateDir,
      stop,
      push,
      pushChange() {
        const index = (changes++ * 37) % size.services
        return push([[serviceFile(index), composeService(index, size.backends, 50 + (changes % 40))]])
      },
      async redisBytes() {
        const info = await redis.call(client => client.info('stats'))
        const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1])
        return field('total_net_input_bytes') + field('total_net_output_bytes')
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
