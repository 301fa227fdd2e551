import { z } from 'zod'

/** What `ip -j` of iproute2 says; fields that nobody here needs are passed over. */

const Neighbour = z.object({
  dst: z.string(),
  dev: z.string(),
  lladdr: z.string().optional(),
  state: z.array(z.string()).default([]),
})

export interface Neighbour {
  readonly address: string
  readonly device: string
  /** Null: the kernel does not know it (any more). */
  readonly linkAddress: string | null
  /**
   * `fresh`: known to be right; `stale`: nobody asked lately; `asking`: the kernel waits for an answer; `failed`:
   * there was none.
   */
  readonly state: 'fresh' | 'stale' | 'asking' | 'failed'
}

const Link = z.object({
  ifindex: z.int(),
  ifname: z.string(),
  address: z.string().optional(),
  link: z.string().optional(),
  linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
})

export interface Link {
  readonly ifindex: number
  readonly linkAddress: string
}

const Route = z.object({ dst: z.string(), dev: z.string().optional(), gateway: z.string().optional() })

const STATES: Readonly<Record<string, Neighbour['state']>> = {
  PERMANENT: 'fresh',
  NOARP: 'fresh',
  REACHABLE: 'fresh',
  // The kernel is finding out by itself whether these are still right.
  DELAY: 'fresh',
  PROBE: 'fresh',
  STALE: 'stale',
  INCOMPLETE: 'asking',
}

const ETHERNET = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/

/** `ip -j neigh show` */
export const parseNeighbours = (text: string): Neighbour[] =>
  parseArray(Neighbour, text).map(({ dst, dev, lladdr = '', state }) => ({
    address: dst,
    device: dev,
    linkAddress: ETHERNET.test(lladdr) ? lladdr : null,
    state: STATES[state[0] ?? ''] ?? 'failed',
  }))

/**
 * `ip -d -j link show`: Ethernet devices by name. A VLAN device stands for the one below it, where its packets come
 * and go with their tag.
 */
export function parseLinks(text: string): Map<string, Link> {
  const links = parseArray(Link, text)
  const byName = new Map(links.map(each => [each.ifname, each]))
  return new Map(
    links.flatMap(each => {
      const below = each.linkinfo?.info_kind === 'vlan' ? byName.get(each.link ?? '') : each
      const { address = '' } = each
      return below === undefined || !ETHERNET.test(address)
        ? []
        : [[each.ifname, { ifindex: below.ifindex, linkAddress: address }] as const]
    }),
  )
}

/** `ip -j -batch -` of `route get`, one array on each line: the device of every address that needs no gateway. */
export function parseDirectRoutes(text: string): Map<string, string> {
  const routes = text.split('\n').flatMap(line => (line.startsWith('[') ? parseArray(Route, line) : []))
  return new Map(
    routes.flatMap(({ dst, dev, gateway }) =>
      dev === undefined || gateway !== undefined ? [] : [[dst, dev] as const],
    ),
  )
}

/** What `ip` prints for nothing at all is nothing at all. */
const parseArray = <Schema extends z.ZodType>(schema: Schema, text: string): z.output<Schema>[] =>
  z.array(schema).parse(text.trim() === '' ? [] : JSON.parse(text))
