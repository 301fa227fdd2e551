import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { addPull, PROJECT, startStandIn } from '../forge/stand-in.ts'
import { github } from '../http/sign.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { type FollowedRemote, sendWebhooks, startFollowedRemote } from './followed-remote.ts'
import { composeService, serviceFile } from './sample-fleet.ts'

const SIZE = { services: 1_000, backends: 20, nodes: ['lb-1', 'lb-2'] }
const WEBHOOKS = 1_000
const STORM_MS = 10_000
const PULLS = 20
/** Without a storm, for comparison. */
const CALM_PUSHES = 3

/**
 * 1,000 signed webhooks of pull requests in 10 s, in the middle of them a push: what an answer takes, how many plans are made
 * for how many pull requests, and how long the push waits for them.
 */
export const pullStormBenchmark: Benchmark = {
  names: ['pull_storm_slowest', 'pull_storm_p99', 'pull_storm_plans', 'pull_storm_reconcile'],
  async run({ dir, say }) {
    const closing: (() => unknown)[] = []
    const forge = await startStandIn({ after: close => void closing.push(close as () => unknown) }, 'github')
    const tokenFile = join(dir, 'forge.token')
    await writeFile(tokenFile, `${forge.token}\n`, { mode: 0o600 })
    const flags = ['--forge', 'github', '--forge-url', forge.url, '--forge-project', PROJECT]
    const remote = await startFollowedRemote({
      dir,
      size: SIZE,
      flags: [...flags, '--forge-token-file', tokenFile],
    })
    closing.push(remote.stop)
    const { secret, url, lines } = remote
    try {
      for (let index = 1; index <= PULLS; index++)
        addPull(forge, { head: await propose(remote, index), into: 'main' })
      const calm: number[] = []
      for (let index = 0; index < CALM_PUSHES; index++) calm.push(await push(remote, index))
      let reconcile = 0
      const times = await sendWebhooks(`${url}/webhook/github`, {
        count: WEBHOOKS,
        lasts: STORM_MS,
        delivery: index => pullDelivery(secret, 1 + (index % PULLS)),
        midst: async () => {
          reconcile = await push(remote, CALM_PUSHES)
        },
      })
      const reviewed = () => lines.filter(({ msg }) => msg === 'pull request reviewed').length
      const planned = reviewed()
      await waitUntil({ what: 'all to be reviewed', deadline: 300_000 }, () =>
        forge.comments.length === PULLS ? true : null,
      )
      // Whatever is still waiting.
      for (let before = -1; before !== reviewed(); ) {
        before = reviewed()
        await delay(10_000)
      }
      say(
        `${planned} plans in the storm and ${reviewed()} in all, of ${PULLS} pull requests; ${forge.comments.length} comments`,
      )
      return [
        milliseconds('pull_storm_slowest', times, 1),
        milliseconds('pull_storm_p99', times, 0.99),
        milliseconds('pull_storm_p50', times, 0.5),
        { name: 'pull_storm_plans', value: reviewed(), unit: 'plans', n: WEBHOOKS },
        { name: 'pull_storm_comments', value: forge.comments.length, unit: 'comments', n: WEBHOOKS },
        milliseconds('pull_storm_reconcile', [reconcile], 0.5),
        milliseconds('reconcile_baseline', calm, 0.5),
      ]
    } finally {
      for (const close of closing.toReversed()) await close()
    }
  },
}

const pullDelivery = (secret: string, number: number) =>
  github(secret, JSON.stringify({ action: 'synchronize', number }), 'pull_request')

/** Puts a proposal, another weight of one service, where the forge has those of pull requests. */
async function propose({ repository }: FollowedRemote, number: number): Promise<string> {
  const base = await repository.git('rev-parse', 'main')
  const head = await repository.commit([[serviceFile(number), composeService(number, SIZE.backends, 9)]])
  await repository.git('push', '--quiet', repository.dir, `${head}:refs/pull/${number}/head`)
  await repository.git('update-ref', 'refs/heads/main', base)
  return head
}

/** ms from the webhook of a push until its revision is published. */
async function push({ repository, secret, url, untilPlanned }: FollowedRemote, at: number): Promise<number> {
  const service = PULLS + 1 + at
  const head = await repository.commit([[serviceFile(service), composeService(service, SIZE.backends, 7)]])
  await repository.push()
  const started = performance.now()
  await sendWebhooks(`${url}/webhook/github`, {
    count: 1,
    lasts: 0,
    delivery: () => github(secret),
    midst: async () => {},
  })
  await untilPlanned(head)
  return performance.now() - started
}
