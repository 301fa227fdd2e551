import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import git, { type HttpClient as IsomorphicHttp } from 'isomorphic-git'
import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import type { Program } from '../process/run-command.ts'
import { type ByteReader, createByteReader } from './byte-reader.ts'
import { type GitPlace, runGit, startGit } from './git-command.ts'
import {
  createHttpClient,
  type HttpClientOptions,
  type HttpRequest,
  type HttpResponse,
} from './http-client.ts'
import { createAuthorizer, type HttpCredentials } from './http-credentials.ts'
import { formatPacket, parsePackets } from './packet-line.ts'
import type { Remote, RemoteRefs } from './remote.ts'

/** A listing that trickles must not keep us from looking again. */
const LIST_MS = 60_000

export interface HttpRemoteOptions extends HttpClientOptions {
  readonly url: string
  readonly credentials: HttpCredentials
}

/**
 * Lists by isomorphic-git (protocol v2, on a connection that stays open: no process, no handshake at each poll).
 *
 * Fetches by the git command over the same HTTP client. isomorphic-git's own fetch moves the remote's refs before the
 * pack has come, compares no checksum, holds the pack whole in memory, asks for no thin packs, and tells the server
 * of no commits but the tips of refs. `git fetch-pack --stateless-rpc` negotiates, checks and stores as git does; it is
 * what git itself runs beneath HTTP (gitprotocol-http(5)), so that proxy, authorities and secrets stay in one place: here.
 */
export function createHttpRemote(options: HttpRemoteOptions): Remote {
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
      const answer = await send({
        url: `${url}/info/refs?service=git-upload-pack`,
        method: 'GET',
        headers: {},
      })
      const advertised = await buffer(answer.body).catch((cause: unknown) => {
        throw brokeOff(url, cause)
      })
      const advertisement = readAdvertisement(advertised)
      if (advertisement === null) throw notGit(url, null)
      const tip = advertisement.refs.get(ref)
      if (tip === undefined) return null
      const post = (body: Uint8Array): Promise<HttpResponse> =>
        send({
          url: `${url}/git-upload-pack`,
          method: 'POST',
          headers: {
            accept: 'application/x-git-upload-pack-result',
            'content-type': 'application/x-git-upload-pack-request',
          },
          body,
        })
      await fetchPack({ url, mirror, ref, advertised: advertisement.rest, post })
      await checkWhole(url, mirror, tip)
      return tip
    },

    close: () => client.close(),
  }
}

interface Advertisement {
  readonly refs: ReadonlyMap<string, Revision>
  /** What follows after the line that names the service: what fetch-pack wants to read. */
  readonly rest: Uint8Array
}

/** `# service=git-upload-pack`, flush, `<id> <ref>[NUL capabilities]`…, flush (gitprotocol-http(5), "Smart Server Response"). */
function readAdvertisement(bytes: Buffer): Advertisement | null {
  const packets = parsePackets(bytes)
  if (packets === null || packets[0]?.text.trimEnd() !== '# service=git-upload-pack') return null
  const refs = new Map<string, Revision>()
  for (const { text: line } of packets.slice(1)) {
    const match = /^([0-9a-f]{40,64}) ([^\0\n]+)/.exec(line)
    const revision = Revision.safeParse(match?.[1]).data
    if (match !== null && revision !== undefined) refs.set(match[2]!, revision)
  }
  return { refs, rest: bytes.subarray(packets[0].end + 4) }
}

interface PackFetch {
  readonly url: string
  readonly mirror: GitPlace
  readonly ref: string
  readonly advertised: Uint8Array
  readonly post: (body: Uint8Array) => Promise<HttpResponse>
}

async function fetchPack({ url, mirror, ref, advertised, post }: PackFetch): Promise<void> {
  const args = ['fetch-pack', '--stateless-rpc', '--stdin', '--thin', '--no-progress', '--quiet', 'ballast']
  const program = await startGit(mirror, args, { stderr: 'pipe' })
  const said = text(program.stderr!)
  const requests = createByteReader(program.stdout!)
  try {
    program.stdin!.write(Buffer.concat([formatPacket(`${ref}\n`), Buffer.from('0000'), advertised]))
    for (;;) {
      const request = await readRequest(requests)
      if (request.length === 0) break
      const response = await post(request)
      await pipeline(response.body, program.stdin!, { end: false })
    }
    program.stdin!.end()
    await requests.drain()
    const { exitCode } = await program.exited
    if (exitCode !== 0) throw new Error(`git fetch-pack ended with ${exitCode}`)
  } catch (cause) {
    if (cause instanceof BallastError) throw cause
    await stop(program, requests)
    throw brokeOff(url, cause, await said)
  } finally {
    await stop(program, requests)
  }
}

/** A program counts as ended when all that it said has been read. */
async function stop(program: Program, requests: ByteReader): Promise<void> {
  await Promise.all([program.stop(0), requests.drain()])
}

/** What one POST carries: fetch-pack wraps it into packets that end with a flush. Empty: it has no more to ask. */
async function readRequest(requests: ByteReader): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (;;) {
    const length = Number.parseInt(Buffer.from(await requests.bytes(4)).toString('latin1'), 16)
    if (!(length > 4)) return Buffer.concat(parts)
    parts.push(await requests.bytes(length - 4))
  }
}

/** fetch-pack checks every object that came, and not that none is missing. */
async function checkWhole(url: string, mirror: GitPlace, tip: Revision): Promise<void> {
  await runGit(mirror, ['rev-list', '--objects', '--quiet', tip, '--not', '--all'], {
    timeout: 600_000,
  }).catch((cause: unknown) => {
    throw brokeOff(url, cause)
  })
}

const brokeOff = (url: string, cause: unknown, said = ''): BallastError => {
  const why = said.trim().split('\n').slice(-2).join('; ') || (cause as Error).message
  return new BallastError({
    code: 'GIT_REMOTE_FAILED',
    message: `${url} did not hand out everything: ${why}`,
    hint: 'Nothing of it is used. It is tried again.',
    retryable: true,
    cause,
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
