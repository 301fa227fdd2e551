import { Agent, request } from 'node:http'
import type { Delivery } from './sign.ts'

/** POSTs all of them over a few connections, as a forge does; gives the status of each answer. */
export async function sendStorm(url: string, deliveries: readonly Delivery[]): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const send = ({ body, headers }: Delivery) =>
    new Promise<number>((resolve, reject) => {
      const sent = request(url, { agent, method: 'POST', headers }, response => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      })
      sent.once('error', reject).end(body)
    })
  try {
    return await Promise.all(deliveries.map(send))
  } finally {
    agent.destroy()
  }
}
