import type { Link, Neighbour } from './parse-neighbours.ts'

export interface NextHop {
  /** Of the backend. */
  readonly to: string
  /** Of the interface that leads to it. */
  readonly from: string
  readonly ifindex: number
}

export interface ChosenNextHops {
  /** What the packet path is to have. */
  readonly known: ReadonlyMap<string, NextHop>
  /** Which neighbours the kernel is to ask for, on which device; null: on whichever a route says. */
  readonly ask: readonly { readonly address: string; readonly device: string | null }[]
}

/**
 * Pure. Of the backends `wanted`, those whose link address is known; one that the packet path has stays until the
 * kernel has asked for it in vain. Who is not known, or has not been heard of lately, is asked for.
 */
export function chooseNextHops(
  wanted: Iterable<string>,
  neighbours: readonly Neighbour[],
  { links, present }: { links: ReadonlyMap<string, Link>; present: ReadonlyMap<string, NextHop> },
): ChosenNextHops {
  const best = new Map<string, Neighbour>()
  for (const each of neighbours) {
    const other = best.get(each.address)
    if (other === undefined || rank(each) < rank(other)) best.set(each.address, each)
  }
  const known = new Map<string, NextHop>()
  const ask: { address: string; device: string | null }[] = []
  for (const address of wanted) {
    const neighbour = best.get(address)
    const hop = neighbour && nextHop(neighbour, links)
    const kept = neighbour?.state === 'failed' ? undefined : present.get(address)
    const chosen = hop ?? kept
    if (chosen !== undefined) known.set(address, chosen)
    if (neighbour?.state !== 'fresh' || hop === undefined)
      ask.push({ address, device: neighbour?.device ?? null })
  }
  return { known, ask }
}

function nextHop(
  { linkAddress, state, device }: Neighbour,
  links: ReadonlyMap<string, Link>,
): NextHop | undefined {
  const link = links.get(device)
  if (linkAddress === null || link === undefined || state === 'failed' || state === 'asking') return undefined
  return { to: linkAddress, from: link.linkAddress, ifindex: link.ifindex }
}

const RANKS = ['fresh', 'stale', 'asking', 'failed'] as const
const rank = ({ state }: Neighbour): number => RANKS.indexOf(state)
