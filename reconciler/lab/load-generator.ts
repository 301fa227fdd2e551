import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { get } from 'node:http'
import { isIPv6 } from 'node:net'
import { text } from 'node:stream/consumers'
import { type LoadEvent, LoadOrder } from '../../schemas/lab.ts'

/**
 * The lab's client: `node load-generator.ts ORDER` (`LoadOrder` as JSON). Prints one `LoadEvent` per request, as
 * JSON lines, until SIGTERM, which lets open requests end first.
 */
const order = LoadOrder.parse(JSON.parse(process.argv[2] ?? ''))

const now = (): number => performance.timeOrigin + performance.now()

/** Over a new connection. */
async function askHttp(target: string, signal: AbortSignal): Promise<string> {
  const request = get(target, { agent: false, signal })
  const [response] = await once(request, 'response')
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
  return body
}

/** As a resolver does: a datagram may get lost, and nobody but the one who asked sends it again. */
const ASK_AGAIN_MS = 1000

/** From a new port. */
async function askUdp(target: string, signal: AbortSignal): Promise<string> {
  const { hostname, port } = new URL(target)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const send = (): void => socket.send('which backend?\n')
  const timer = setInterval(send, ASK_AGAIN_MS)
  try {
    socket.connect(Number(port), host)
    await once(socket, 'connect', { signal })
    send()
    const [message] = await once(socket, 'message', { signal })
    return String(message)
  } finally {
    clearInterval(timer)
    socket.close()
  }
}

async function ask(target: string): Promise<void> {
  const start = now()
  const signal = AbortSignal.timeout(order.timeout)
  const tell = (event: LoadEvent): unknown => process.stdout.write(`${JSON.stringify(event)}\n`)
  try {
    const answer = await (target.startsWith('udp:') ? askUdp(target, signal) : askHttp(target, signal))
    tell({ kind: 'response', at: now(), ms: now() - start, target, backend: answer.trim() })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = signal.aborted ? `no answer within ${order.timeout} ms` : (code ?? message)
    tell({ kind: 'failure', at: now(), ms: now() - start, target, reason })
  }
}

let count = 0
const timer = setInterval(() => {
  const target = order.targets[count++ % order.targets.length]
  if (target !== undefined) void ask(target)
}, order.interval)
process.once('SIGTERM', () => clearInterval(timer))
