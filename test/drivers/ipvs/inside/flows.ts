import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'

export interface Flows {
  /** One packet of every flow. */
  send(): Promise<void>
  /** The backend that the kernel remembers for every flow, by source port. */
  backends(): Promise<Map<number, string>>
  close(): void
}

/** UDP flows from this kernel to a VIP of its own, port 80, from these source ports on. */
export async function openFlows(vip: string, firstPort: number, count: number): Promise<Flows> {
  const sockets: Socket[] = []
  for (let i = 0; i < count; i++) {
    const socket = createSocket('udp4').bind(firstPort + i)
    // An answer of the kernel that there is nobody is no matter.
    socket.on('error', () => {})
    await once(socket, 'listening')
    sockets.push(socket)
  }
  const sendOne = (socket: Socket) =>
    new Promise<void>(done => {
      socket.send('x', 80, vip, () => done())
    })
  return {
    send: async () => {
      await Promise.all(sockets.map(sendOne))
    },
    async backends() {
      const [, ...lines] = (await readFile('/proc/net/ip_vs_conn', 'utf8')).trim().split('\n')
      return new Map(
        lines
          // Protocol, source, its port, VIP, its port, backend, its port; in hex digits.
          .map(line => line.split(/ +/))
          .map(([, , port = '', , , backend = '']): [number, string] => [Number.parseInt(port, 16), backend])
          .filter(([port]) => port >= firstPort && port < firstPort + count),
      )
    },
    close() {
      for (const socket of sockets) socket.close()
    },
  }
}

export const countMoved = (before: ReadonlyMap<number, string>, after: ReadonlyMap<number, string>): number =>
  [...before].filter(([port, backend]) => after.get(port) !== backend).length
