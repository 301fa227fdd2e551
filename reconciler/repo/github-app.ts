import { createPrivateKey, type KeyObject } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { SignJWT } from 'jose'
import { z } from 'zod'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { HttpClient } from './http-client.ts'
import { readSecret, unreadable } from './read-secret.ts'

export interface GitHubAppOptions {
  /** App id or client id. */
  readonly appId: string
  readonly installationId: string
  /** PEM, as GitHub hands it out. */
  readonly keyFile: string
  /** `https://api.github.com`, or `https://host/api/v3` of an Enterprise Server. */
  readonly api: string
}

export interface GitHubApp {
  /** An installation's token, kept until shortly before it expires. Throws what `Remote` throws. */
  token(): Promise<string>
  forget(): void
}

const Answer = z.object({ token: z.string().min(1), expires_at: z.iso.datetime() })

/** A token lives for an hour; it must not expire in the middle of a fetch. */
const SPARE_MS = 5 * 60_000

/** Proves itself by a JWT and gets an installation access token for it (GitHub REST API, "Authenticating as a GitHub App installation"). */
export function createGitHubApp(options: GitHubAppOptions, client: HttpClient): GitHubApp {
  let kept: { readonly token: string; readonly until: number } | null = null

  async function ask(): Promise<{ token: string; until: number }> {
    const url = `${options.api.replace(/\/+$/, '')}/app/installations/${encodeURIComponent(options.installationId)}/access_tokens`
    const response = await client.send({
      url,
      method: 'POST',
      deadlineMs: 60_000,
      headers: {
        accept: 'application/vnd.github+json',
        authorization: `Bearer ${await signToken(options)}`,
        'user-agent': 'ballast',
        'x-github-api-version': '2022-11-28',
      },
      body: new Uint8Array(),
    })
    const body = await text(response.body)
    if (response.status !== 201) throw refused(options, response.status)
    const answer = Answer.safeParse(parseJson(body)).data
    if (answer === undefined) throw refused(options, response.status)
    return { token: answer.token, until: Date.parse(answer.expires_at) - SPARE_MS }
  }

  return {
    async token() {
      if (kept === null || kept.until <= Date.now()) kept = await ask()
      return kept.token
    },
    forget() {
      kept = null
    },
  }
}

async function signToken({ appId, keyFile }: GitHubAppOptions): Promise<string> {
  const pem = await readSecret(keyFile)
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw unreadable(keyFile, 'it holds no private key in PEM', cause)
  }
  const now = Math.floor(Date.now() / 1000)
  // GitHub refuses a token from the future, which clocks that differ make, and one that lives longer than 10 minutes.
  return new SignJWT()
    .setProtectedHeader({ alg: 'RS256' })
    .setIssuedAt(now - 60)
    .setExpirationTime(now + 9 * 60)
    .setIssuer(appId)
    .sign(key)
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return null
  }
}

function refused({ api, appId, installationId }: GitHubAppOptions, status: number): BallastError {
  const ours = status === 401 || status === 403 || status === 404
  return new BallastError({
    code: ours ? 'GIT_REMOTE_UNAUTHORIZED' : 'GIT_REMOTE_FAILED',
    message: `${new URL(api).host} gave no token for installation ${installationId} of the App ${appId}: status ${status}`,
    hint: ours
      ? 'Compare the App id, the installation id and the key with the settings of the App; see that the clock is right.'
      : 'It is tried again.',
    retryable: true,
  })
}
