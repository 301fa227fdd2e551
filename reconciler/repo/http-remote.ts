import { buffer } from 'node:stream/consumers'
import git, { type HttpClient as IsomorphicHttp } from 'isomorphic-git'
import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import { type GitPlace, runGit } from './git-command.ts'
import {
  createHttpClient,
  type HttpClientOptions,
  type HttpRequest,
  type HttpResponse,
} from './http-client.ts'
import { createAuthorizer, type HttpCredentials } from './http-credentials.ts'
import { formatPacket, parsePackets } from './packet-line.ts'
import { pushRejected, type WritableRemote } from './push.ts'
import type { Remote, RemoteRefs } from './remote.ts'
import { brokeOff, runStatelessRpc } from './stateless-rpc.ts'

/** A listing that trickles must not keep us from looking again. */
const LIST_MS = 60_000

export interface HttpRemoteOptions extends HttpClientOptions {
  readonly url: string
  readonly credentials: HttpCredentials
}

/**
 * Lists by isomorphic-git (protocol v2, on a connection that stays open: no process, no handshake at each poll).
 *
 * Fetches and pushes by the git command over the same HTTP client. isomorphic-git's own fetch moves the remote's refs before the
 * pack has come, compares no checksum, holds the pack whole in memory, asks for no thin packs, and tells the server
 * of no commits but the tips of refs. `git fetch-pack --stateless-rpc` negotiates, checks and stores as git does; it and `git send-pack` are
 * what git itself runs beneath HTTP (gitprotocol-http(5)), so that proxy, authorities and secrets stay in one place: here.
 */
export function createHttpRemote(options: HttpRemoteOptions): Remote & WritableRemote {
  const { url } = options
  const client = createHttpClient(options)
  const authorizer = createAuthorizer(options.credentials, client)

  /** Tries once more with a fresh token when one that was kept is refused. */
  async function send(request: HttpRequest, isSecondTry = false): Promise<HttpResponse> {
    const authorization = await authorizer.header()
    const headers = {
      'user-agent': 'git/ballast',
      ...request.headers,
      ...(authorization && { authorization }),
    }
    const response = await client.send({ ...request, headers })
    if (response.status === 200) return response
    response.body.resume()
    if (response.status === 401 && !isSecondTry && options.credentials.kind === 'github-app') {
      authorizer.refused()
      return send(request, true)
    }
    throw refused(url, response, options.credentials.kind !== 'none')
  }

  const http: IsomorphicHttp = {
    async request({ url: asked, method = 'GET', headers = {}, body }) {
      const given = body === undefined ? {} : { body: Buffer.concat(await Array.fromAsync(body)) }
      const response = await send({
        url: asked,
        method: method === 'POST' ? 'POST' : 'GET',
        headers,
        deadlineMs: LIST_MS,
        ...given,
      })
      // Taken whole before it is parsed: of an answer that breaks off isomorphic-git would see fewer branches.
      const bytes = await buffer(response.body).catch((cause: unknown) => {
        throw brokeOff(url, cause)
      })
      return {
        url: asked,
        method,
        statusCode: response.status,
        statusMessage: '',
        headers: response.headers as Record<string, string>,
        body: [bytes] as unknown as AsyncIterableIterator<Uint8Array>,
      }
    },
  }

  const listRefs = (prefix: string) =>
    git.listServerRefs({ http, url, prefix, symrefs: true, protocolVersion: 2 }).catch((cause: unknown) => {
      throw cause instanceof BallastError ? cause : notGit(url, cause)
    })

  async function advertise(service: Service): Promise<Advertisement> {
    const answer = await send({ url: `${url}/info/refs?service=${service}`, method: 'GET', headers: {} })
    const advertised = await buffer(answer.body).catch((cause: unknown) => {
      throw brokeOff(url, cause)
    })
    const advertisement = readAdvertisement(advertised, service)
    if (advertisement === null) throw notGit(url, null)
    return advertisement
  }

  const postTo = (service: Service) => (body: Uint8Array) => {
    const headers = {
      accept: `application/x-${service}-result`,
      'content-type': `application/x-${service}-request`,
    }
    return send({ url: `${url}/${service}`, method: 'POST', headers, body })
  }

  return {
    url,

    async list({ branch, withDefault }): Promise<RemoteRefs> {
      const head = branch === null || withDefault ? await listRefs('HEAD') : []
      const target = head.find(({ ref }) => ref === 'HEAD')?.target ?? ''
      const defaultBranch = /^refs\/heads\/(.+)$/.exec(target)?.[1] ?? null
      const followed = branch ?? defaultBranch
      if (followed === null) return { defaultBranch, tip: null }
      const refs = await listRefs(`refs/heads/${followed}`)
      const tip = refs.find(({ ref }) => ref === `refs/heads/${followed}`)?.oid
      return { defaultBranch, tip: tip === undefined ? null : Revision.parse(tip) }
    },

    async fetch(ref, mirror) {
      const { refs, rest } = await advertise('git-upload-pack')
      const tip = refs.get(ref)
      if (tip === undefined) return null
      const args = [
        'fetch-pack',
        '--stateless-rpc',
        '--stdin',
        '--thin',
        '--no-progress',
        '--quiet',
        'ballast',
      ]
      const input = Buffer.concat([formatPacket(`${ref}\n`), FLUSH, rest])
      const post = postTo('git-upload-pack')
      const { exitCode, said } = await runStatelessRpc({ url, place: mirror, args, input, post })
      if (exitCode !== 0) throw brokeOff(url, new Error(`git fetch-pack ended with ${exitCode}`), said)
      await checkWhole(url, mirror, tip)
      return tip
    },

    async push(branch, place) {
      const ref = `refs/heads/${branch}`
      const { rest } = await advertise('git-receive-pack')
      const args = ['send-pack', '--stateless-rpc', '--thin', '--no-progress', '--stdin', url]
      const input = Buffer.concat([formatPacket(`${ref}:${ref}\n`), FLUSH, rest])
      const post = postTo('git-receive-pack')
      const { exitCode, said } = await runStatelessRpc({ url, place, args, input, post })
      if (exitCode !== 0) throw pushRejected(url, branch, said)
    },

    close: () => client.close(),
  }
}

type Service = 'git-upload-pack' | 'git-receive-pack'

const FLUSH = Buffer.from('0000')

interface Advertisement {
  readonly refs: ReadonlyMap<string, Revision>
  /** What follows after the line that names the service: what fetch-pack and send-pack want to read. */
  readonly rest: Uint8Array
}

/** `# service=<service>`, flush, `<id> <ref>[NUL capabilities]`…, flush (gitprotocol-http(5), "Smart Server Response"). */
function readAdvertisement(bytes: Buffer, service: Service): Advertisement | null {
  const packets = parsePackets(bytes)
  if (packets === null || packets[0]?.text.trimEnd() !== `# service=${service}`) return null
  const refs = new Map<string, Revision>()
  for (const { text: line } of packets.slice(1)) {
    const match = /^([0-9a-f]{40,64}) ([^\0\n]+)/.exec(line)
    const revision = Revision.safeParse(match?.[1]).data
    if (match !== null && revision !== undefined) refs.set(match[2]!, revision)
  }
  return { refs, rest: bytes.subarray(packets[0].end + 4) }
}

/** fetch-pack checks every object that came, and not that none is missing. */
async function checkWhole(url: string, mirror: GitPlace, tip: Revision): Promise<void> {
  await runGit(mirror, ['rev-list', '--objects', '--quiet', tip, '--not', '--all'], {
    timeout: 600_000,
  }).catch((cause: unknown) => {
    throw brokeOff(url, cause)
  })
}

const notGit = (url: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'GIT_REMOTE_FAILED',
    message: `${url} does not answer as a Git server does`,
    hint: 'Compare the address with what `git ls-remote` takes; a sign-in page or a proxy may answer in its place.',
    retryable: true,
    cause,
  })

function refused(url: string, { status, headers }: HttpResponse, hasCredentials: boolean): BallastError {
  const fault = (code: string, message: string, hint: string): BallastError =>
    new BallastError({ code, message, hint, retryable: true })
  if (status === 401 || status === 403) {
    const hint = hasCredentials
      ? 'Give a token or password that is valid and may read this repository; its file is read again at every try.'
      : 'Give --git-token-file, --git-user with --git-password-file, or the three settings of a GitHub App.'
    return fault('GIT_REMOTE_UNAUTHORIZED', `${url} refuses us: status ${status}`, hint)
  }
  if (status === 404 || status === 410) {
    const hint = 'Compare the address; forges say this also of what a token may not see.'
    return fault('GIT_REMOTE_NOT_FOUND', `${url} does not exist: status ${status}`, hint)
  }
  if (status >= 300 && status < 400) {
    const to = headers.location?.replace(/\/info\/refs\?.*$/, '') ?? 'somewhere else'
    return fault(
      'GIT_REMOTE_MOVED',
      `${url} has moved to ${withoutSecrets(to)}`,
      'Give that address as --repo.',
    )
  }
  return fault('GIT_REMOTE_FAILED', `${url} answers with status ${status}`, 'It is tried again.')
}

function withoutSecrets(location: string): string {
  if (!URL.canParse(location)) return location
  const { origin, pathname } = new URL(location)
  return `${origin}${pathname}`
}
