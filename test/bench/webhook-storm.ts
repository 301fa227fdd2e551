import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { readJsonLines } from '../../reconciler/lab/read-json-lines.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import type { BenchResult } from '../../schemas/bench.ts'
import { type Delivery, github } from '../http/sign.ts'
import { type GitServer, serveGit } from '../repo/git-server.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { composeFleet, composeService, serviceFile } from './sample-fleet.ts'
import { createSampleRepository, type SampleRepository } from './sample-repository.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const SECRET = 'a secret of the webhooks'
const SIZE = { services: 1_000, backends: 20, nodes: ['lb-1', 'lb-2'] }
const WEBHOOKS = 1_000
const STORM_MS = 10_000
const QUESTIONS = 200

const Line = z.looseObject({
  level: z.string(),
  msg: z.string(),
  address: z.string().optional(),
  revision: z.string().optional(),
})
type Line = z.infer<typeof Line>

/** 1,000 signed webhooks in 10 s, in the middle of them a push: what an answer takes, and how often the remote is asked for a pack. */
export const webhookStormBenchmark: Benchmark = {
  names: ['webhook_storm_p99', 'webhook_storm_fetches'],
  async run({ dir, say }) {
    const closing: (() => unknown)[] = []
    try {
      const repository = await createSampleRepository(dir)
      const first = await repository.commit(composeFleet(SIZE))
      await repository.push()
      const git = await serveGit({ after: close => void closing.push(close as () => unknown) }, dir)
      const lines: Line[] = []
      const program = await startReconciler(dir, `${git.url}/fleet.git`, lines)
      closing.push(() => program.stop(10_000))
      const address = await waitUntil(
        { what: 'HTTP to be answered', deadline: 60_000 },
        () => lines.find(({ msg }) => msg === 'answering HTTP')?.address ?? null,
      )
      await untilPlanned(lines, first)
      return await measure({ url: `http://${address}`, repository, git, lines, say })
    } finally {
      for (const close of closing.toReversed()) await close()
    }
  },
}

async function startReconciler(dir: string, repo: string, lines: Line[]): Promise<Program> {
  const secret = join(dir, 'webhook.secret')
  await writeFile(secret, `${SECRET}\n`, { mode: 0o600 })
  const flags = [
    ...['--repo', repo, '--poll-interval', '3600000', '--state-dir', join(dir, 's')],
    ...['--listen', '127.0.0.1:0', '--webhook-secret-file', secret, '--log-format', 'json'],
  ]
  const program = await startProgram(process.execPath, [CLI, 'reconciler', ...flags], { stderr: 'pipe' })
  readJsonLines(program.stderr!, Line, {
    each: line => lines.push(line),
    other: text => process.stderr.write(`${text}\n`),
  })
  return program
}

const untilPlanned = (lines: readonly Line[], of: string): Promise<Line> =>
  waitUntil({ what: `${of} to be published`, deadline: 120_000 }, () => {
    const failed = lines.find(({ level }) => level === 'error')
    if (failed !== undefined) throw new Error(JSON.stringify(failed))
    return lines.find(({ msg, revision }) => msg === 'plan' && revision === of) ?? null
  })

interface Storm {
  readonly url: string
  readonly repository: SampleRepository
  readonly git: GitServer
  readonly lines: readonly Line[]
  say(text: string): void
}

async function measure({ url, repository, git, lines, say }: Storm): Promise<BenchResult[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  try {
    const questions: number[] = []
    for (let question = 0; question < QUESTIONS; question++)
      questions.push((await ask(agent, `${url}/healthz`)).ms)
    const fetched = git.fetches()
    const head = await repository.commit([[serviceFile(0), composeService(0, SIZE.backends, 7)]])
    const answers: Promise<Answer>[] = []
    let pushing: Promise<unknown> = Promise.resolve()
    for (let webhook = 0; webhook < WEBHOOKS; webhook++) {
      if (webhook === WEBHOOKS / 2) pushing = repository.push()
      answers.push(ask(agent, `${url}/webhook/github`, github(SECRET)))
      await delay(STORM_MS / WEBHOOKS)
    }
    const all = await Promise.all(answers)
    await pushing
    const refused = all.filter(({ status }) => status !== 202)
    if (refused.length > 0) throw new Error(`${refused.length} webhooks were answered ${refused[0]!.status}`)
    await untilPlanned(lines, head)
    const times = all.map(({ ms }) => ms)
    say(
      `${WEBHOOKS} webhooks, ${git.fetches() - fetched} fetches, the slowest answer ${Math.max(...times).toFixed()} ms`,
    )
    return [
      milliseconds('webhook_storm_p99', times, 0.99),
      milliseconds('webhook_storm_p50', times, 0.5),
      { name: 'webhook_storm_fetches', value: git.fetches() - fetched, unit: 'requests', n: WEBHOOKS },
      milliseconds('http_health_p99_baseline', questions, 0.99),
    ]
  } finally {
    agent.destroy()
  }
}

interface Answer {
  readonly ms: number
  readonly status: number
}

/** From the moment that it is sent until the whole answer is here. */
function ask(agent: Agent, url: string, delivery?: Delivery): Promise<Answer> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<Answer>()
  const started = performance.now()
  const options = delivery === undefined ? { agent } : { agent, method: 'POST', headers: delivery.headers }
  const sent = request(url, options, response => {
    response
      .resume()
      .once('end', () => settle({ ms: performance.now() - started, status: response.statusCode ?? 0 }))
  })
  sent.once('error', reject).end(delivery?.body)
  return promise
}
