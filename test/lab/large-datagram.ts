import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** Asks `address` `port`, `count` times from a new port each, with 4000 bytes, which is three fragments; prints the answers as JSON. */
const [address = '', port = '', count = ''] = process.argv.slice(2)
const answers: string[] = []
for (let i = 0; i < Number(count); i++) {
  const socket = createSocket('udp4')
  socket.send(Buffer.alloc(4000, 0x5a), Number(port), address)
  const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(5000) })
  answers.push(String(answer).trim())
  socket.close()
}
process.stdout.write(JSON.stringify(answers))
