import { Agent } from 'node:http'
import { github } from '../http/sign.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { ask, sendWebhooks, startFollowedRemote } from './followed-remote.ts'
import { composeService, serviceFile } from './sample-fleet.ts'

const SIZE = { services: 1_000, backends: 20, nodes: ['lb-1', 'lb-2'] }
const WEBHOOKS = 1_000
const STORM_MS = 10_000
const QUESTIONS = 200

/** 1,000 signed webhooks in 10 s, in the middle of them a push: what an answer takes, and how often the remote is asked for a pack. */
export const webhookStormBenchmark: Benchmark = {
  names: ['webhook_storm_p99', 'webhook_storm_fetches'],
  async run({ dir, say }) {
    const { secret, url, repository, git, untilPlanned, stop } = await startFollowedRemote({
      dir,
      size: SIZE,
    })
    const agent = new Agent({ keepAlive: true })
    try {
      const questions: number[] = []
      for (let question = 0; question < QUESTIONS; question++)
        questions.push((await ask(agent, `${url}/healthz`)).ms)
      const fetched = git.fetches()
      const head = await repository.commit([[serviceFile(0), composeService(0, SIZE.backends, 7)]])
      const times = await sendWebhooks(`${url}/webhook/github`, {
        count: WEBHOOKS,
        lasts: STORM_MS,
        delivery: () => github(secret),
        midst: repository.push,
      })
      await untilPlanned(head)
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
      await stop()
    }
  },
}
