import { type Forge, GitlabPayload, PushPayload } from '../../../schemas/api/webhook.ts'

export type WebhookEvent =
  | { readonly type: 'push'; readonly ref: string }
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
  if (name !== 'push') return { type: 'other', name: name.slice(0, 100) }
  const push = PushPayload.safeParse(payload)
  return push.success
    ? { type: 'push', ref: push.data.ref }
    : { type: 'invalid', problem: 'It has no `ref` as a push has one, for instance refs/heads/main.' }
}

function nameOfGitlab(payload: unknown): string | null {
  const parsed = GitlabPayload.safeParse(payload)
  return parsed.data?.object_kind ?? parsed.data?.event_name ?? null
}
