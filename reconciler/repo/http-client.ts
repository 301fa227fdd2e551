import { readFileSync } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'
import type { Readable } from 'node:stream'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { BallastError } from '../../schemas/ballast-error.ts'
import { readSecret, unreadable } from './read-secret.ts'

export interface HttpClientOptions {
  /** PEM file of the authorities that are trusted instead of those that Node brings. */
  readonly caFile: string | undefined
  /** `http://[user@]host:port`; everything goes through it by CONNECT. */
  readonly proxy: string | undefined
  readonly proxyPasswordFile: string | undefined
  /** ms without a byte after which a request is given up. */
  readonly silenceMs?: number
}

export interface HttpRequest {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** ms for all of it, the answer's body too; as long as bytes come when left out. */
  readonly deadlineMs?: number
}

export interface HttpResponse {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** Ends with an error when it breaks off. */
  readonly body: Readable
}

/** Keeps connections open between requests, follows no redirect, keeps no cookie. */
export interface HttpClient {
  /** Throws `GIT_REMOTE_UNREACHABLE`, `GIT_REMOTE_TIMED_OUT`, `GIT_REMOTE_UNTRUSTED`, `GIT_PROXY_REFUSED`, `SECRET_UNREADABLE`. */
  send(request: HttpRequest): Promise<HttpResponse>
  /** Requests under way end with an error. */
  close(): void
}

interface Agents {
  readonly http: http.Agent
  readonly https: http.Agent
  readonly ca: string | undefined
  /** What they were made of. */
  readonly secret: string
}

const SILENCE_MS = 30_000

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const silenceMs = options.silenceMs ?? SILENCE_MS
  let agents: Agents | null = null
  let isClosed = false

  /** Made anew when a file that they depend on changed. */
  async function refreshAgents(): Promise<Agents> {
    const ca = options.caFile === undefined ? undefined : readAuthorities(options.caFile)
    const password =
      options.proxyPasswordFile === undefined ? '' : await readSecret(options.proxyPasswordFile)
    const secret = JSON.stringify([ca, password])
    if (agents?.secret !== secret) {
      destroy()
      agents = { ...makeAgents(options.proxy, password, ca), ca, secret }
    }
    return agents
  }

  function destroy(): void {
    agents?.http.destroy()
    agents?.https.destroy()
    agents = null
  }

  async function send(asked: HttpRequest, isSecondTry = false): Promise<HttpResponse> {
    const { url, method, headers, body, deadlineMs } = asked
    const target = new URL(url)
    const { ca, ...agent } = await refreshAgents()
    const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
    const isTls = target.protocol === 'https:'
    const { request } = isTls ? https : http
    const sent = request(target, {
      agent: isTls ? agent.https : agent.http,
      // Behind a proxy the agent's own counts for the proxy alone.
      ...(ca !== undefined && { ca }),
      method,
      headers: { ...headers, ...(body && { 'content-length': String(body.length) }) },
    })
    const giveUp = (after: number) => (): void => {
      sent.destroy(timedOut(target, after))
    }
    // The agent's own time limit begins with a socket; a proxy or a handshake that hangs has none yet.
    const connecting = setTimeout(giveUp(silenceMs), silenceMs)
    const whole = deadlineMs === undefined ? undefined : setTimeout(giveUp(deadlineMs), deadlineMs)
    sent.setTimeout(silenceMs, giveUp(silenceMs))
    sent.on('error', (error: NodeJS.ErrnoException) => {
      // The server closed an idle connection just when it was used again.
      const isStale = sent.reusedSocket && error.code === 'ECONNRESET' && !isSecondTry
      if (isStale && !isClosed) resolve(send(asked, true))
      else reject(explain(target, options.proxy, error))
    })
    sent.once('close', () => {
      clearTimeout(connecting)
      clearTimeout(whole)
    })
    sent.once('response', response => {
      clearTimeout(connecting)
      if (response.statusCode === 407) {
        response.resume()
        reject(proxyRefused(options.proxy))
      } else resolve({ status: response.statusCode!, headers: response.headers, body: response })
    })
    sent.end(body)
    return promise
  }

  return {
    send: asked => send(asked),
    close() {
      isClosed = true
      destroy()
    },
  }
}

function makeAgents(proxy: string | undefined, password: string, ca: string | undefined) {
  const trust = ca === undefined ? {} : { ca }
  const settings = { keepAlive: true, maxSockets: 4, ...trust }
  if (proxy === undefined) return { http: new http.Agent(settings), https: new https.Agent(settings) }
  const address = new URL(proxy)
  if (password !== '') address.password = encodeURIComponent(password)
  const agent = new HttpsProxyAgent(address, settings)
  return { http: agent, https: agent }
}

function readAuthorities(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw unreadable(file, (cause as Error).message, cause)
  }
}

const fault = (code: string, message: string, hint: string, cause?: unknown): BallastError =>
  new BallastError({ code, message, hint, retryable: true, cause })

const timedOut = ({ host }: URL, ms: number): BallastError =>
  fault(
    'GIT_REMOTE_TIMED_OUT',
    `${host} did not answer within ${ms} ms`,
    'See whether the server is overloaded.',
  )

const proxyRefused = (proxy = ''): BallastError =>
  fault(
    'GIT_PROXY_REFUSED',
    `the proxy ${new URL(proxy).host} wants another user or password`,
    'Put the user into --git-proxy and the password into the file of --git-proxy-password-file.',
  )

/** Faults of certificates (Node: TLS, X509 certificate error codes). */
const UNTRUSTED =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|INVALID_PURPOSE)/

function explain({ host }: URL, proxy: string | undefined, cause: NodeJS.ErrnoException): BallastError {
  if (cause instanceof BallastError) return cause
  const { code = '', message } = cause
  if (UNTRUSTED.test(code)) {
    const hint = 'If an authority of your own signed it, name its certificate: --git-ca-file.'
    return fault('GIT_REMOTE_UNTRUSTED', `the certificate of ${host} is not trusted: ${message}`, hint, cause)
  }
  const via = proxy === undefined ? '' : ` through the proxy ${new URL(proxy).host}`
  const why = message === '' ? code : message
  return fault(
    'GIT_REMOTE_UNREACHABLE',
    `${host} cannot be reached${via}: ${why}`,
    'It is tried again.',
    cause,
  )
}
