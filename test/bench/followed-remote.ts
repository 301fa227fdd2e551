import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { readJsonLines } from '../../reconciler/lab/read-json-lines.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { startProgram } from '../../reconciler/process/run-command.ts'
import type { Delivery } from '../http/sign.ts'
import { type GitServer, serveGit } from '../repo/git-server.ts'
import { bundleProgram } from './released-process.ts'
import { composeFleet, type FleetSize } from './sample-fleet.ts'
import { createSampleRepository, type SampleRepository } from './sample-repository.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const SECRET = 'a secret of the webhooks'

const Line = z.looseObject({
  level: z.string(),
  msg: z.string(),
  address: z.string().optional(),
  revision: z.string().optional(),
})
type Line = z.infer<typeof Line>

/** A repository that Git serves over HTTP, and a reconciler, started as a release is, that has published its first revision. */
export interface FollowedRemote {
  readonly secret: string
  /** Of the reconciler's HTTP. */
  readonly url: string
  readonly repository: SampleRepository
  readonly git: GitServer
  /** What the reconciler has logged. */
  readonly lines: readonly Line[]
  untilPlanned(revision: string): Promise<Line>
  stop(): Promise<void>
}

export interface FollowedOptions {
  readonly dir: string
  readonly size: FleetSize
  /** Of the reconciler, beside those that all have. */
  readonly flags?: readonly string[]
}

export async function startFollowedRemote({
  dir,
  size,
  flags = [],
}: FollowedOptions): Promise<FollowedRemote> {
  const closing: (() => unknown)[] = []
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).toReversed()) await close()
  }
  try {
    const repository = await createSampleRepository(dir)
    const first = await repository.commit(composeFleet(size))
    await repository.push()
    const git = await serveGit({ after: close => void closing.push(close as () => unknown) }, dir)
    const secretFile = join(dir, 'webhook.secret')
    await writeFile(secretFile, `${SECRET}\n`, { mode: 0o600 })
    const all = [
      ...['reconciler', '--repo', `${git.url}/fleet.git`, '--poll-interval', '3600000'],
      ...['--state-dir', join(dir, 's'), '--listen', '127.0.0.1:0', '--webhook-secret-file', secretFile],
      ...['--log-format', 'json', ...flags],
    ]
    const cli = await bundleProgram(CLI, dir)
    const program = await startProgram(process.execPath, [...cli, ...all], { stderr: 'pipe' })
    closing.push(() => program.stop(10_000))
    const lines: Line[] = []
    readJsonLines(program.stderr!, Line, {
      each: line => lines.push(line),
      other: text => process.stderr.write(`${text}\n`),
    })
    const untilPlanned = (revision: string): Promise<Line> =>
      waitUntil({ what: `${revision} to be published`, deadline: 120_000 }, () => {
        const failed = lines.find(({ level }) => level === 'error')
        if (failed !== undefined) throw new Error(JSON.stringify(failed))
        return lines.find(line => line.msg === 'plan' && line.revision === revision) ?? null
      })
    const address = await waitUntil(
      { what: 'HTTP to be answered', deadline: 60_000 },
      () => lines.find(({ msg }) => msg === 'answering HTTP')?.address ?? null,
    )
    await untilPlanned(first)
    return { secret: SECRET, url: `http://${address}`, repository, git, lines, untilPlanned, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export interface Answer {
  readonly ms: number
  readonly status: number
}

export interface Storm {
  readonly count: number
  /** From the first to the last, ms. */
  readonly lasts: number
  readonly delivery: (index: number) => Delivery
  /** Begun in the middle of it. */
  readonly midst: () => Promise<unknown>
}

/** Sends webhooks evenly over a time, and gives what each answer took. Throws for one that is not taken. */
export async function sendWebhooks(
  url: string,
  { count, lasts, delivery, midst }: Storm,
): Promise<readonly number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  try {
    const answers: Promise<Answer>[] = []
    let pushing: Promise<unknown> = Promise.resolve()
    for (let index = 0; index < count; index++) {
      if (index === Math.floor(count / 2)) pushing = midst()
      answers.push(ask(agent, url, delivery(index)))
      await delay(lasts / count)
    }
    const [all] = await Promise.all([Promise.all(answers), pushing])
    const refused = all.filter(({ status }) => status !== 202)
    if (refused.length > 0) throw new Error(`${refused.length} webhooks were answered ${refused[0]!.status}`)
    return all.map(({ ms }) => ms)
  } finally {
    agent.destroy()
  }
}

/** From the moment that it is sent until the whole answer is here. */
export function ask(agent: Agent, url: string, delivery?: Delivery): Promise<Answer> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<Answer>()
  const started = performance.now()
  const options = delivery === undefined ? { agent } : { agent, method: 'POST', headers: delivery.headers }
  const sent = request(url, options, response => {
    response
      .resume()
      .once('end', () => settle({ ms: performance.now() - started, status: response.statusCode ?? 0 }))
  })
  sent
    .once('error', error => {
      // The other end had closed a connection that was kept.
      if (sent.reusedSocket) ask(agent, url, delivery).then(settle, reject)
      else reject(error)
    })
    .end(delivery?.body)
  return promise
}
