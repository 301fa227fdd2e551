import {
  type Forge,
  GitlabPayload,
  MergeRequestPayload,
  PullRequestPayload,
  PushPayload,
} from '../../../schemas/api/webhook.ts'

export type WebhookEvent =
  | { readonly type: 'push'; readonly ref: string }
  /** A pull request has something new to review. */
  | { readonly type: 'pull'; readonly number: number }
  | { readonly type: 'ping' }
  /** Nothing that Ballast follows. `name` is bounded. */
  | { readonly type: 'other'; readonly name: string }
  | { readonly type: 'invalid'; readonly problem: string }

/** What a delivery is about. Only what is needed is read of it. */
export function readEvent(forge: Forge, event: string | null, body: Buffer): WebhookEvent {
  if (event === 'ping') return { type: 'ping' }
  let payload: unknown
  try {
    payload = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return { type: 'invalid', problem: 'The body is not JSON in UTF-8.' }
  }
  const name = forge === 'gitlab' ? nameOfGitlab(payload) : event
  if (name === null) return { type: 'invalid', problem: 'It does not say which event it is.' }
  if (PULLS.includes(name)) return readPull(name, payload)
  if (name !== 'push') return { type: 'other', name: name.slice(0, 100) }
  const push = PushPayload.safeParse(payload)
  return push.success
    ? { type: 'push', ref: push.data.ref }
    : { type: 'invalid', problem: 'It has no `ref` as a push has one, for instance refs/heads/main.' }
}

/** Gitea names a push to one `pull_request_sync`. */
const PULLS = ['pull_request', 'pull_request_sync', 'merge_request']
/** GitHub; Gitea; GitLab. */
const NEWS = [
  'opened',
  'reopened',
  'synchronize',
  'synchronized',
  'edited',
  'ready_for_review',
  'open',
  'reopen',
  'update',
]

function readPull(name: string, payload: unknown): WebhookEvent {
  const read =
    name === 'merge_request'
      ? MergeRequestPayload.transform(({ object_attributes: { iid, action } }) => ({ number: iid, action }))
      : PullRequestPayload
  const { data } = read.safeParse(payload)
  if (data === undefined) return { type: 'invalid', problem: 'It has no number as a pull request has one.' }
  const { number, action } = data
  return action !== undefined && NEWS.includes(action)
    ? { type: 'pull', number }
    : { type: 'other', name: `${name} ${action ?? ''}`.slice(0, 100) }
}

function nameOfGitlab(payload: unknown): string | null {
  const parsed = GitlabPayload.safeParse(payload)
  return parsed.data?.object_kind ?? parsed.data?.event_name ?? null
}
