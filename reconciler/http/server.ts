import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createConnection } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { App } from './app.ts'

export interface HttpServer {
  /** `host:port` as it came out, or `unix:/path`. */
  readonly address: string
  /** Takes no more; requests under way may end, for `graceMs` at most. */
  stop(graceMs?: number): Promise<void>
}

/** Against those who send slowly, or much, or hold what they do not use; ms and bytes. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16_384,
} as const
const MOST_CONNECTIONS = 2_000
const GRACE_MS = 2_000

/** Throws `LISTEN_FAILED`. */
export async function startServer(app: App, listen: string): Promise<HttpServer> {
  const server = createServer({ ...LIMITS }, getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  server.maxConnections = MOST_CONNECTIONS
  const socket = listen.startsWith('unix:') ? listen.slice('unix:'.length) : null
  try {
    if (socket === null) await open(server, splitAddress(listen))
    else await openSocket(server, socket)
  } catch (cause) {
    throw new BallastError({
      code: 'LISTEN_FAILED',
      message: `HTTP cannot be answered at ${listen}: ${(cause as Error).message}`,
      hint: 'Give another address as --listen, or end what answers there.',
      cause,
    })
  }
  return {
    address: socket === null ? describeAddress(server) : listen,
    async stop(graceMs = GRACE_MS) {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), graceMs)
      await closed
      clearTimeout(timer)
    },
  }
}

function open(server: Server, place: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(place, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** A socket that a killed process left behind is nobody's. Its owner and group may use it. */
async function openSocket(server: Server, path: string): Promise<void> {
  try {
    await open(server, { path })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || (await isAnswered(path))) throw error
    await rm(path)
    await open(server, { path })
  }
  await chmod(path, 0o660)
}

const isAnswered = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const probe = createConnection(path)
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false))
    probe.once('close', () => probe.destroy())
    probe.unref()
  })

function splitAddress(listen: string): { host: string; port: number } {
  const at = listen.lastIndexOf(':')
  return { host: listen.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(listen.slice(at + 1)) }
}

function describeAddress(server: Server): string {
  const address = server.address()
  if (address === null || typeof address === 'string') return String(address)
  return `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}
