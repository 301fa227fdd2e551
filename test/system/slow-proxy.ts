import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A TCP proxy on loopback whose way to the server has a delay, or is cut without a word. */
export interface SlowProxy {
  readonly port: number
  /** ms each way, of what is sent from now on; Infinity: nothing arrives any more. */
  setDelay(ms: number): void
}

export async function startSlowProxy(t: TestContext, to: number): Promise<SlowProxy> {
  let delay = 0
  const sockets = new Set<Socket>()
  const pass = (from: Socket, into: Socket): void => {
    sockets.add(from)
    from.on('error', () => into.destroy())
    from.on('close', () => {
      sockets.delete(from)
      into.destroy()
    })
    from.on('data', chunk => {
      if (delay === Infinity) return
      if (delay === 0) into.write(chunk)
      else setTimeout(() => into.destroyed || into.write(chunk), delay)
    })
  }
  const server = createServer(client => {
    const upstream = connect(to, '127.0.0.1')
    pass(client, upstream)
    pass(upstream, client)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as { port: number }).port,
    setDelay(ms) {
      delay = ms
    },
  }
}
