import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Forge } from '../../../schemas/api/webhook.ts'

/** What a delivery says of itself in its headers, before anything of it is believed. */
export interface Claim {
  /** The same for a delivery that is sent again; null: the forge gives none. */
  readonly delivery: string | null
  /** `push`, `ping`; null: said in the body, or not at all. */
  readonly event: string | null
  /** When it was signed, ms since the epoch; null: the forge signs no time. */
  readonly signedAt: number | null
  /** Whether whoever sent this body knows the secret. Takes the same time whatever differs. */
  holds(body: Uint8Array, secret: string): boolean
}

type Header = (name: string) => string | undefined

/** Null: the header that proves anything is missing. */
export const readClaim = (forge: Forge, header: Header): Claim | null => READERS[forge](header)

const READERS: Readonly<Record<Forge, (header: Header) => Claim | null>> = {
  /** docs.github.com, "Validating webhook deliveries". */
  github(header) {
    const signature = header('x-hub-signature-256')
    if (signature === undefined) return null
    return {
      delivery: header('x-github-delivery') ?? signature,
      event: header('x-github-event') ?? null,
      signedAt: null,
      holds: (body, secret) => isEqual(signature, `sha256=${hmac(secret, body).toString('hex')}`),
    }
  },

  /** Gitea and Forgejo, "Webhooks": the digest alone; newer ones also sign as GitHub does. */
  gitea(header) {
    const bare = header('x-forgejo-signature') ?? header('x-gitea-signature')
    const signature = bare === undefined ? header('x-hub-signature-256') : `sha256=${bare}`
    if (signature === undefined) return null
    return {
      delivery: header('x-forgejo-delivery') ?? header('x-gitea-delivery') ?? signature,
      event: header('x-forgejo-event') ?? header('x-gitea-event') ?? header('x-github-event') ?? null,
      signedAt: null,
      holds: (body, secret) => isEqual(signature, `sha256=${hmac(secret, body).toString('hex')}`),
    }
  },

  /**
   * GitLab, "Webhooks": the secret token as it is, or the newer signing token (`whsec_…`), as
   * standardwebhooks.com has it. A secret of the latter kind is never taken as the former.
   */
  gitlab(header) {
    const token = header('x-gitlab-token')
    const signatures = header('webhook-signature')?.split(' ')
    const [id, timestamp] = [header('webhook-id'), header('webhook-timestamp')]
    const signed = signatures !== undefined && id !== undefined && timestamp !== undefined
    if (token === undefined && !signed) return null
    const isSigned = (body: Uint8Array, key: Buffer): boolean => {
      const expected = `v1,${hmac(key, `${id}.${timestamp}.`, body).toString('base64')}`
      return signed && signatures.filter(signature => isEqual(signature, expected)).length > 0
    }
    return {
      delivery: id ?? header('idempotency-key') ?? header('x-gitlab-event-uuid') ?? null,
      event: null,
      signedAt: signed ? toTime(timestamp) : null,
      holds: (body, secret) =>
        secret.startsWith(SIGNING_TOKEN)
          ? isSigned(body, Buffer.from(secret.slice(SIGNING_TOKEN.length), 'base64'))
          : token !== undefined && isEqual(token, secret),
    }
  },

  /** Ours: HMAC-SHA256 of `<timestamp>.<body>`, in hex. */
  generic(header) {
    const signature = header('x-ballast-signature-256')
    const timestamp = header('x-ballast-timestamp')
    if (signature === undefined || timestamp === undefined) return null
    return {
      delivery: signature,
      event: 'push',
      signedAt: toTime(timestamp),
      holds: (body, secret) =>
        isEqual(signature, `sha256=${hmac(secret, `${timestamp}.`, body).toString('hex')}`),
    }
  },
}

const SIGNING_TOKEN = 'whsec_'

const toTime = (seconds: string): number => (/^\d{1,12}$/.test(seconds) ? Number(seconds) * 1000 : Number.NaN)

function hmac(key: string | Buffer, ...parts: (string | Uint8Array)[]): Buffer {
  const made = createHmac('sha256', key)
  for (const part of parts) made.update(part)
  return made.digest()
}

/** Compares digests of both: of one length, and nothing that the other side could choose. */
const isEqual = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b))
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
