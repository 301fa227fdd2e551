import { Forge, type WebhookAnswer } from '../../../schemas/api/webhook.ts'
import type { HttpMetrics } from '../../metrics/http-metrics.ts'
import type { App, AppContext } from '../app.ts'
import { answerProblem, type ProblemInput, tooMany } from '../problem.ts'
import type { RateLimit } from '../rate-limit.ts'
import type { ReadBody } from '../read-body.ts'
import { readClaim } from './claim.ts'
import { createDeliveries } from './deliveries.ts'
import { readEvent, type WebhookEvent } from './read-event.ts'

export interface WebhookOptions {
  /** Each may have signed; none: webhooks are off. */
  readonly secrets: () => readonly string[]
  /** The branch that is followed; null: not known, and a push of any may be of it. */
  readonly branch: () => Promise<string | null>
  readonly look: () => void
  /** A pull request has news; null: they are not reviewed here. */
  readonly review: ((number: number) => void) | null
  readonly readBody: ReadBody
  /** Of everything a source sends, and of what did not prove that it knows the secret. */
  readonly requests: RateLimit
  readonly failures: RateLimit
  readonly metrics: HttpMetrics
  readonly now: () => number
}

/** More than a push of two thousand commits. */
const MOST_BYTES = 2 * 1024 * 1024
/** How old, or ahead, a signed time may be, ms. */
const REPLAY_WINDOW_MS = 5 * 60_000

/** `POST /webhook/{forge}`: whoever proves to know the secret makes the branch be looked at; nothing else of it is believed. */
export function addWebhooks(app: App, options: WebhookOptions): void {
  const { failures, metrics } = options
  const take = createTaker(options)
  app.post('/webhook/:forge', async context => {
    const forge = Forge.safeParse(context.req.param('forge'))
    if (!forge.success) {
      return answerProblem(context, {
        status: 404,
        code: 'FORGE_UNKNOWN',
        detail: `There are webhooks for ${Forge.options.join(', ')}.`,
      })
    }
    const done = await take(context, forge.data)
    if ('result' in done) {
      metrics.webhook(forge.data, done.result)
      return context.json(done satisfies WebhookAnswer, 202)
    }
    metrics.webhook(forge.data, 'refused')
    if (done.status === 401) await failures.count(context.get('source').counted)
    return answerProblem(context, done)
  })
}

function createTaker(options: WebhookOptions) {
  const deliveries = createDeliveries()

  /** The order matters: what is cheap first, cryptography after the limits, and nothing parsed before it. */
  return async (context: AppContext, forge: Forge): Promise<WebhookAnswer | ProblemInput> => {
    const source = context.get('source').counted
    const wait = (await options.requests.count(source)) ?? (await options.failures.look(source))
    if (wait !== null) return tooMany(wait)
    const secrets = options.secrets()
    if (secrets.length === 0) return unauthorized('WEBHOOKS_OFF', 'No webhookSecretFile is configured here.')
    const claim = readClaim(forge, name => context.req.header(name))
    if (claim === null) return unauthorized('SIGNATURE_MISSING', SIGNATURES[forge])
    if (!isJson(context.req.header('content-type'))) return NOT_JSON
    const body = await options.readBody(context.req.raw, MOST_BYTES)
    if (body.result !== 'read') return BODY_PROBLEMS[body.result]
    // All of them, so that the time does not tell which.
    const holding = secrets.filter(secret => claim.holds(body.bytes, secret))
    if (holding.length === 0)
      return unauthorized('SIGNATURE_WRONG', 'It was not signed with a secret of ours.')
    if (claim.signedAt !== null && !(Math.abs(options.now() - claim.signedAt) <= REPLAY_WINDOW_MS)) {
      return unauthorized('SIGNATURE_OLD', 'It was not signed within five minutes of now.')
    }
    const event = readEvent(forge, claim.event, body.bytes)
    if (event.type === 'invalid') return { status: 400, code: 'PAYLOAD_INVALID', detail: event.problem }
    return follow(event, `${forge} ${claim.delivery}`, claim.delivery !== null)
  }

  async function follow(
    event: Exclude<WebhookEvent, { type: 'invalid' }>,
    delivery: string,
    isNamed: boolean,
  ) {
    if (event.type === 'ping') return answer('pong', 'The secret is right.')
    if (event.type === 'other') return answer('ignored', 'Only pushes and pull requests are followed.')
    if (event.type === 'pull') return reviewPull(event.number, isNamed ? delivery : null)
    if (!isFollowed(event.ref, await options.branch()))
      return answer('ignored', 'Not the branch that is followed.')
    if (isNamed && !deliveries.remember(delivery)) return answer('duplicate', 'It was here before.')
    options.look()
    return answer('looking', 'The branch is looked at.')
  }

  function reviewPull(number: number, delivery: string | null): WebhookAnswer {
    if (options.review === null) return answer('ignored', 'Pull requests are not reviewed here.')
    if (delivery !== null && !deliveries.remember(delivery)) return answer('duplicate', 'It was here before.')
    options.review(number)
    return answer('reviewing', 'The pull request is planned.')
  }
}

const answer = (result: WebhookAnswer['result'], detail: string): WebhookAnswer => ({ result, detail })

const unauthorized = (code: string, detail: string): ProblemInput => ({
  status: 401,
  code,
  detail,
  headers: { 'www-authenticate': 'Signature realm="ballast"' },
})

const SIGNATURES: Readonly<Record<Forge, string>> = {
  github: 'X-Hub-Signature-256 is missing. Give the webhook a secret.',
  gitlab: 'X-Gitlab-Token and webhook-signature are missing. Give the webhook a secret or a signing token.',
  gitea: 'X-Gitea-Signature is missing. Give the webhook a secret.',
  generic: 'X-Ballast-Signature-256 and X-Ballast-Timestamp are needed.',
}

const isFollowed = (ref: string, branch: string | null): boolean =>
  branch === null ? ref.startsWith('refs/heads/') : ref === `refs/heads/${branch}`

const isJson = (type: string | undefined): boolean => /^application\/json\s*(;|$)/i.test(type ?? '')

const NOT_JSON: ProblemInput = {
  status: 415,
  code: 'CONTENT_TYPE_UNKNOWN',
  detail: 'Webhooks are taken as application/json; choose that content type where the webhook is configured.',
}

const BODY_PROBLEMS = {
  'too-large': {
    status: 413,
    code: 'BODY_TOO_LARGE',
    detail: `At most ${MOST_BYTES} bytes are taken.`,
    headers: { connection: 'close' },
  },
  busy: {
    status: 503,
    code: 'BUSY',
    detail: 'Too much is being received already.',
    headers: { connection: 'close', 'retry-after': '1' },
  },
  broken: {
    status: 400,
    code: 'BODY_BROKEN',
    detail: 'The body ended early.',
    headers: { connection: 'close' },
  },
} as const satisfies Record<string, ProblemInput>
