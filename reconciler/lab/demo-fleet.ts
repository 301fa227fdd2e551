import Table from 'cli-table3'
import { type DemoContext, need, untilServed } from './demo-context.ts'
import { countBackends, findUnfair, type Response, sharesOfWeights } from './measure-traffic.ts'
import type { PoolBackend } from './policy-repository.ts'
import { hostsOf, type Pair } from './topology.ts'

/** Backend name → weight in both pools; 0 drains. */
export type Weights = Readonly<Record<string, number>>

export const ADDED = 'backend-3'
export const DRAINED = 'backend-1'
export const FIRST: Weights = { 'backend-1': 100, 'backend-2': 50 }
export const SECOND: Weights = { 'backend-1': 0, 'backend-2': 100, 'backend-3': 100 }

/** What the client asks, one after another: services of the example fleet that share the backends. */
export const WEB = { vip: '203.0.113.10', port: 80 }
export const VIPS = [WEB.vip, '2001:db8::10', '203.0.113.53']
export const TARGETS = [`http://${WEB.vip}/`, 'http://[2001:db8::10]/', 'udp://203.0.113.53:53']

/** Requests that a look at the spread is made of. */
const SAMPLE = 600

/** Sets the weights in the pools of both families. A drained backend keeps a weight, for when it comes back. */
export async function writeWeights(context: DemoContext, weights: Weights): Promise<void> {
  const { topology } = need(context, 'lab')
  const backends = (family: keyof Pair): PoolBackend[] =>
    hostsOf(topology, 'backend')
      .filter(({ name }) => weights[name] !== undefined)
      .map(({ name, addresses }) => {
        const weight = weights[name] ?? 0
        return { address: addresses[family], ...(weight > 0 ? { weight } : { weight: 100, drain: true }) }
      })
  const policy = need(context, 'policy')
  await policy.setBackends('web', backends('ipv4'))
  await policy.setBackends('web6', backends('ipv6'))
}

/** Watches requests that begin after `since` (ms since the epoch), shows how they spread, and fails when weights say otherwise. */
export async function showSpread(context: DemoContext, since: number, weights: Weights): Promise<void> {
  // A datagram from a port that was used before belongs to the flow of before, and so to its backend.
  const responses = (await untilServed(context, since, SAMPLE)).filter(({ target }) =>
    target.startsWith('http'),
  )
  context.say(renderSpread(responses, weights))
  const unfair = findUnfair(responses, sharesOfWeights(weights))
  if (unfair.length > 0) throw new Error(`not the share that the weight says: ${unfair.join(', ')}`)
}

function renderSpread(responses: readonly Response[], weights: Weights): string {
  const shares = sharesOfWeights(weights)
  const counts = countBackends(responses)
  const percent = (share: number): string => `${(100 * share).toFixed(1)}%`
  const table = new Table({
    head: ['backend', 'weight', 'share', 'requests', 'seen'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  })
  for (const [name, weight] of Object.entries(weights)) {
    const count = counts[name] ?? 0
    table.push([
      name,
      weight === 0 ? 'drained' : weight,
      percent(shares[name] ?? 0),
      count,
      percent(count / responses.length),
    ])
  }
  return table.toString()
}
