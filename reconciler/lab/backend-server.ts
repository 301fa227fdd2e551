import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { isIPv6 } from 'node:net'
import { ServerOrder } from '../../schemas/lab.ts'

/**
 * A backend of the lab: `node backend-server.ts ORDER` (`ServerOrder` as JSON). Over HTTP it answers with its
 * name; `POST /echo` stays open and gives every line back; a datagram is answered with the name too. Prints
 * `ready` once it serves.
 */
const { name, httpPorts, udp } = ServerOrder.parse(JSON.parse(process.argv[2] ?? ''))

for (const port of httpPorts) {
  const server = createServer((request, response) => {
    response.setHeader('x-backend', name)
    if (request.url !== '/echo') return response.end(`${name}\n`)
    // A client that leaves without a word is no fault here.
    request.on('error', () => {})
    response.flushHeaders()
    return request.pipe(response)
  })
  // Long-lived connections live as long as their client wants.
  server.requestTimeout = 0
  server.listen(port, '::')
  await once(server, 'listening')
}

for (const { address, port } of udp) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  socket.on('message', (_message, from) => socket.send(`${name}\n`, from.port, from.address))
  socket.bind(port, address)
  await once(socket, 'listening')
}

process.stdout.write('ready\n')
