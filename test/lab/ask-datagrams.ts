import { createSocket } from 'node:dgram'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Sends datagrams to `node ask-datagrams.ts ORDER`, with `{address, port, datagrams}` as JSON: each from a new port,
 * of `source` and with the content `hex`. Prints as JSON who answered each, null when nobody did within a second.
 */
const { address, port, datagrams } = JSON.parse(process.argv[2] ?? '') as {
  address: string
  port: number
  datagrams: { source?: string; hex: string }[]
}
const PATIENCE_MS = 1000

async function ask({ source, hex }: (typeof datagrams)[number]): Promise<string | null> {
  const socket = createSocket('udp4')
  const answer = new Promise<string>(done => socket.once('message', text => done(String(text).trim())))
  await new Promise<void>(bound => socket.bind(0, source, bound))
  socket.send(Buffer.from(hex, 'hex'), port, address)
  const first = await Promise.race([answer, delay(PATIENCE_MS, null)])
  socket.close()
  return first
}

process.stdout.write(JSON.stringify(await Promise.all(datagrams.map(ask))))
