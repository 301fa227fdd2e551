import { createHash, createHmac } from 'node:crypto'

/** What the forges do, written from their documentation and by other means than what is tested. */

export const hmacHex = (secret: string, text: string | Buffer): string =>
  createHmac('sha256', secret).update(text).digest('hex')

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

export interface Delivery {
  readonly body: string
  readonly headers: Record<string, string>
}

let deliveries = 0
const nextId = (): string => `00000000-0000-4000-8000-${String(++deliveries).padStart(12, '0')}`

export const pushBody = (ref = 'refs/heads/main'): string =>
  JSON.stringify({
    ref,
    before: '1'.repeat(40),
    after: '2'.repeat(40),
    repository: { full_name: 'ops/fleet' },
  })

export function github(secret: string, body = pushBody(), event = 'push'): Delivery {
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-github-delivery': nextId(),
      'x-hub-signature-256': `sha256=${hmacHex(secret, body)}`,
    },
  }
}

export function gitea(secret: string, body = pushBody(), event = 'push'): Delivery {
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'x-gitea-event': event,
      'x-gitea-delivery': nextId(),
      'x-gitea-signature': hmacHex(secret, body),
    },
  }
}

const gitlabBody = (ref: string): string =>
  JSON.stringify({ object_kind: 'push', ref, after: '2'.repeat(40) })

export function gitlab(token: string, body = gitlabBody('refs/heads/main')): Delivery {
  const headers = {
    'content-type': 'application/json',
    'x-gitlab-event': 'Push Hook',
    'x-gitlab-token': token,
    'idempotency-key': nextId(),
  }
  return { body, headers }
}

/** `secret`: whsec_ and the key in base64. `at` in seconds. */
export function gitlabSigned(secret: string, at: number, body = gitlabBody('refs/heads/main')): Delivery {
  const id = nextId()
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')
  const headers = {
    'content-type': 'application/json',
    'x-gitlab-event': 'Push Hook',
    'webhook-id': id,
    'webhook-timestamp': String(at),
    'webhook-signature': `v1,AAAA v1,${signature}`,
  }
  return { body, headers }
}

/** `at` in seconds. */
export function generic(secret: string, at: number, body = pushBody()): Delivery {
  const headers = {
    'content-type': 'application/json',
    'x-ballast-timestamp': String(at),
    'x-ballast-signature-256': `sha256=${hmacHex(secret, `${at}.${body}`)}`,
  }
  return { body, headers }
}
