import { execFileSync, spawn } from 'node:child_process'
import * as http from 'node:http'
import * as https from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { temporaryFolder } from './make-repository.ts'

/** How the server behaves from now on. */
export interface Manners {
  /** Value of `Authorization` that is asked for; null: anybody. */
  authorization: string | null
  /** This status, whatever is asked. */
  status: number | null
  location: string | null
  /** Takes requests and never answers. */
  silent: boolean
  /** Closes a connection that is used for the second time, without an answer. */
  closeReused: boolean
  /** Closes the connection after so many bytes of a pack. */
  truncatePackAt: number | null
}

export interface GitServer {
  readonly url: string
  readonly manners: Manners
  /** `GET /fleet.git/info/refs?…` and so on, in order. */
  readonly requests: string[]
  /** How many packs were asked for. */
  fetches(): number
  /** PEM of the authority that signed its certificate. */
  readonly caFile: string | null
  stop(): Promise<void>
  /** On the same port as before. */
  start(): Promise<void>
}

/** The repositories in a folder, served by `git http-backend`: what any forge does, over HTTP or HTTPS. */
export async function serveGit(
  t: Pick<TestContext, 'after'>,
  root: string,
  { tls = false }: { tls?: boolean } = {},
): Promise<GitServer> {
  const manners: Manners = {
    authorization: null,
    status: null,
    location: null,
    silent: false,
    closeReused: false,
    truncatePackAt: null,
  }
  const requests: string[] = []
  const used = new WeakSet<Socket>()
  let packs = 0
  const authority = tls ? makeAuthority(temporaryFolder(t)) : null

  const answer: http.RequestListener = (request, response) => {
    const { method = '', url = '', headers } = request
    requests.push(`${method} ${url}`)
    if (manners.silent) return
    if (manners.closeReused && used.has(request.socket)) {
      request.socket.destroy()
      return
    }
    used.add(request.socket)
    const refuse = (status: number): void => {
      response.writeHead(status, manners.location === null ? {} : { location: manners.location }).end('no')
    }
    if (manners.status !== null) return refuse(manners.status)
    if (manners.authorization !== null && headers.authorization !== manners.authorization) return refuse(401)
    const [path = '', query = ''] = url.split('?')
    const backend = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
        REQUEST_METHOD: method,
        PATH_INFO: decodeURIComponent(path),
        QUERY_STRING: query,
        CONTENT_TYPE: headers['content-type'] ?? '',
        ...(headers['content-length'] && { CONTENT_LENGTH: headers['content-length'] }),
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    backend.stdin.on('error', () => {})
    request.pipe(backend.stdin)
    const parts: Buffer[] = []
    backend.stdout.on('data', (chunk: Buffer) => parts.push(chunk))
    backend.on('close', () => {
      const whole = Buffer.concat(parts)
      const end = whole.indexOf('\r\n\r\n')
      const lines = whole.toString('latin1', 0, end).split('\r\n')
      const fields = lines.map(line => line.split(': ') as [string, string])
      const status = Number(fields.find(([name]) => name === 'Status')?.[1]?.slice(0, 3) ?? 200)
      const body = whole.subarray(end + 4)
      response.writeHead(status, [
        ...fields.filter(([name]) => name !== 'Status').flat(),
        'Content-Length',
        String(body.length),
      ])
      const isPack = body.includes('PACK')
      if (isPack) packs++
      if (isPack && manners.truncatePackAt !== null) {
        response.write(body.subarray(0, manners.truncatePackAt), () => response.socket?.destroy())
      } else response.end(body)
    })
  }
  const make = () => (authority === null ? http.createServer(answer) : https.createServer(authority, answer))
  let server = make()
  let port = 0
  const start = async (): Promise<void> => {
    server = make()
    await new Promise<void>((resolve, reject) =>
      server.listen(port, '127.0.0.1', resolve).once('error', reject),
    )
    port = (server.address() as AddressInfo).port
  }
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  await start()
  t.after(stop)
  return {
    url: `${tls ? 'https' : 'http'}://${tls ? 'localhost' : '127.0.0.1'}:${port}`,
    manners,
    requests,
    fetches: () => packs,
    caFile: authority?.caFile ?? null,
    start,
    stop,
  }
}

function makeAuthority(dir: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  )
  const names = ['-addext', 'subjectAltName=DNS:localhost']
  const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key']
  openssl(
    'req',
    '-x509',
    ...signer,
    ...key,
    '-keyout',
    'key.pem',
    '-out',
    'cert.pem',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    ...names,
  )
  const read = (file: string) => execFileSync('cat', [join(dir, file)])
  return { key: read('key.pem'), cert: read('cert.pem'), caFile: join(dir, 'ca.pem') }
}

export interface TestProxy {
  readonly url: string
  /** Targets of CONNECT. */
  readonly connected: string[]
}

/** Lets through what asks by CONNECT, with this `Proxy-Authorization` if one is given. */
export async function startProxy(t: Pick<TestContext, 'after'>, authorization?: string): Promise<TestProxy> {
  const connected: string[] = []
  const sockets = new Set<Socket>()
  const proxy = http.createServer((_request, response) => response.writeHead(405).end())
  proxy.on('connect', (request: http.IncomingMessage, client: Socket) => {
    if (authorization !== undefined && request.headers['proxy-authorization'] !== authorization) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
      return
    }
    connected.push(request.url ?? '')
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const server = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      server.pipe(client).pipe(server)
    })
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
    }
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, connected }
}

/** Answers POSTs as GitHub's API does when an App asks for a token; `answer` gets path, `Authorization` and body. */
export async function serveTokens(
  t: Pick<TestContext, 'after'>,
  answer: (path: string, authorization: string) => { status: number; body: unknown },
): Promise<string> {
  const server = http.createServer(async (request, response) => {
    await text(request)
    const { status, body } = answer(request.url ?? '', request.headers.authorization ?? '')
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
