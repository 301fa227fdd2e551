import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { type HoldEvent, HoldOrder } from '../../schemas/lab.ts'

/**
 * One long-lived connection: `node hold-connection.ts ORDER` (`HoldOrder` as JSON). Connects until it reaches the
 * backend that is asked for, then sends a line again and again and expects each back. Prints `HoldEvent`s as
 * JSON lines, until SIGTERM or until the connection is lost.
 */
const order = HoldOrder.parse(JSON.parse(process.argv[2] ?? ''))
const ATTEMPTS = 500

const now = (): number => performance.timeOrigin + performance.now()
const tell = (event: HoldEvent): unknown => process.stdout.write(`${JSON.stringify(event)}\n`)

interface Connection {
  readonly out: ClientRequest
  readonly back: IncomingMessage
}

async function connect(): Promise<Connection> {
  const out = request(new URL('/echo', order.url), { method: 'POST', agent: false })
  out.flushHeaders()
  const [back] = await once(out, 'response')
  return { out, back }
}

async function reach(backend: string): Promise<Connection & { attempts: number }> {
  for (let attempts = 1; attempts <= ATTEMPTS; attempts++) {
    const connection = await connect()
    if (connection.back.headers['x-backend'] === backend) return { ...connection, attempts }
    connection.out.destroy()
  }
  throw new Error(`${ATTEMPTS} connections, none to ${backend}`)
}

function lose(reason: string): never {
  tell({ kind: 'lost', at: now(), reason })
  process.exit(1)
}

try {
  const { out, back, attempts } = await reach(order.backend)
  tell({ kind: 'opened', at: now(), backend: order.backend, attempts })
  const lost = (error: Error): never => lose(error.message)
  out.on('error', lost)
  back.on('error', lost)

  const unanswered: { text: string; sent: number }[] = []
  createInterface({ input: back })
    .on('line', text => {
      const expected = unanswered.shift()
      if (expected?.text !== text) lose(`echoed ${text} for ${expected?.text}`)
      tell({ kind: 'echo', at: now(), ms: now() - expected.sent, backend: order.backend })
    })
    .on('close', () => lose('closed by the backend'))
  let sent = 0
  const timer = setInterval(() => {
    const oldest = unanswered[0]
    if (oldest !== undefined && now() - oldest.sent > order.patience) lose(`no echo for ${order.patience} ms`)
    const text = `line ${++sent}`
    unanswered.push({ text, sent: now() })
    out.write(`${text}\n`)
  }, order.interval)
  process.once('SIGTERM', () => {
    clearInterval(timer)
    process.exit(0)
  })
} catch (error) {
  lose((error as Error).message)
}
