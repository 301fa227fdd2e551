import { canonicalAddress } from '../../../../schemas/address.ts'
import { isError, type Reply, textsOf, unreadable } from './reply.ts'

/** What the answers to BIRD's `show` commands say. Pure. */

export interface BirdStatus {
  readonly version: string
  /** As BIRD writes it; changes when the daemon starts. */
  readonly startedAt: string
  readonly configuredAt: string
  /** Ms since the configuration in force was read; null where BIRD writes times in a format of its administrator's. */
  readonly configurationAge: number | null
}

export function readStatus(reply: Reply): BirdStatus {
  const lines = reply.lines.map(({ text }) => text)
  const saidOf = (title: string): string => {
    const line = lines.find(each => each.startsWith(title))
    if (line === undefined) throw unreadable(`a status without "${title}"`)
    return line.slice(title.length).trim()
  }
  const configuredAt = saidOf('Last reconfiguration on ')
  return {
    version: saidOf('BIRD '),
    startedAt: saidOf('Last reboot on '),
    configuredAt,
    configurationAge: ageOf(configuredAt, saidOf('Current server time is ')),
  }
}

/** Ms between two times that BIRD says, whatever its time zone; null where they are in another format. */
export function ageOf(earlier: string, later: string): number | null {
  const [from, to] = [earlier, later].map(text =>
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/.test(text)
      ? Date.parse(`${text.replace(' ', 'T')}Z`)
      : Number.NaN,
  )
  const age = to! - from!
  return Number.isNaN(age) ? null : age
}

export interface BirdProtocol {
  readonly name: string
  readonly type: string
  /** `up`; `start`: it tries; `down`: it does not. */
  readonly state: string
  readonly since: string
  readonly bgp: BirdSession | null
}

interface BirdSession {
  /** `Established`, `Connect`, `Active`, … */
  readonly state: string
  readonly lastError: string
  /** By channel, `ipv4` and `ipv6`. `exported`: routes sent. */
  readonly channels: Readonly<Record<string, { readonly up: boolean; readonly exported: number }>>
}

/** `show protocols all`. */
export function readProtocols(reply: Reply): BirdProtocol[] {
  if (isError(reply)) throw unreadable(reply.text)
  const protocols: BirdProtocol[] = []
  for (const { code, text } of reply.lines) {
    if (code === 1002) protocols.push(readProtocol(text))
    // The first line of the details repeats nothing: they belong to the protocol before.
    else if (code === 1006 && protocols.length > 0) protocols.push(addDetail(protocols.pop()!, text))
  }
  return protocols
}

function readProtocol(line: string): BirdProtocol {
  const [, name, type, state, since] =
    /^(\S+)\s+(\S+)\s+\S+\s+(up|start|down|stop|flush)\s+(.*)$/.exec(line) ?? []
  if (name === undefined || type === undefined || state === undefined)
    throw unreadable(`the protocol ${line}`)
  const bgp = type === 'BGP' ? { state: 'Down', lastError: '', channels: {} } : null
  return { name, type, state, since: sinceOf(since!), bgp }
}

/** The time alone: one word, or a date and a time. */
const sinceOf = (text: string): string => /^(\d{4}-\d\d-\d\d \S+|\S+)/.exec(text)?.[0] ?? ''

/** `BGP state:          Established` */
const TITLED = /^\s*([\w ]+):\s*(.*?)\s*$/

function addDetail(protocol: BirdProtocol, line: string): BirdProtocol {
  const { bgp } = protocol
  if (bgp === null) return protocol
  const withBgp = (change: Partial<BirdSession>): BirdProtocol => ({
    ...protocol,
    bgp: { ...bgp, ...change },
  })
  const channel = /^\s*Channel (\w+)$/.exec(line)?.[1]
  if (channel !== undefined)
    return withBgp({ channels: { ...bgp.channels, [channel]: { up: false, exported: 0 } } })
  const [, title, value = ''] = TITLED.exec(line) ?? []
  if (title === 'BGP state') return withBgp({ state: value })
  if (title === 'Last error') return withBgp({ lastError: value })
  const last = Object.entries(bgp.channels).at(-1)
  if (last === undefined) return protocol
  const [name, known] = last
  const exported = title === 'Routes' ? /(\d+) exported/.exec(value)?.[1] : undefined
  const change = {
    ...(title === 'State' && { up: value === 'UP' }),
    ...(exported !== undefined && { exported: Number(exported) }),
  }
  return withBgp({ channels: { ...bgp.channels, [name]: { ...known, ...change } } })
}

export interface BirdRoute {
  readonly prefix: string
  readonly protocol: string
  /** As BIRD writes them, by name: `BGP.med` → `50`. */
  readonly attributes: Readonly<Record<string, string>>
}

/** `show route … all`. An answer that there is no such table, or none now, is no route. */
export function readRoutes(reply: Reply): BirdRoute[] {
  if (isError(reply)) return []
  const routes: BirdRoute[] = []
  let prefix = ''
  for (const { code, text } of reply.lines) {
    if (code === 1007) {
      if (text.startsWith('Table ') || text === '') continue
      const [, net, protocol] = /^(\S*)\s+\S.*? \[(\S+) [^\]]*\]/.exec(text) ?? []
      if (protocol === undefined) {
        // The way of a route: `	via 10.0.0.1 on eth0`, `	dev eth0`.
        if (/^\t/.test(text) && routes.length > 0) continue
        throw unreadable(`the route ${text}`)
      }
      // Further routes to the same prefix do not repeat it.
      if (net !== '') prefix = canonicalPrefix(net!)
      routes.push({ prefix, protocol, attributes: {} })
    } else if (code === 1012) routes.push(addAttribute(routes.pop(), text))
  }
  return routes
}

function canonicalPrefix(text: string): string {
  const [address, bits] = text.split('/')
  if (address === undefined || bits === undefined) throw unreadable(`the prefix ${text}`)
  return `${canonicalAddress(address)}/${bits}`
}

function addAttribute(route: BirdRoute | undefined, line: string): BirdRoute {
  if (route === undefined) throw unreadable(`an attribute of no route: ${line}`)
  const { attributes } = route
  // A long list goes on behind two tabs.
  const more = /^\t\t(.*)$/.exec(line)?.[1]
  const last = Object.keys(attributes).at(-1)
  if (more !== undefined && last !== undefined)
    return { ...route, attributes: { ...attributes, [last]: `${attributes[last]} ${more}` } }
  const [, name, value = ''] = /^\t([^:\s]+):\s*(.*?)\s*$/.exec(line) ?? []
  return name === undefined ? route : { ...route, attributes: { ...attributes, [name]: value } }
}

export interface BfdSession {
  readonly address: string
  /** `Up`, `Down`, `Init`, `AdminDown` */
  readonly state: string
}

/** `show bfd sessions`. */
export function readBfdSessions(reply: Reply): BfdSession[] {
  return textsOf(reply, 1020).flatMap(text => {
    const [, address, state] = /^([\da-fA-F.:]+)\s+\S+\s+(\S+)\s/.exec(text) ?? []
    return address === undefined || state === undefined || text.endsWith(':')
      ? []
      : [{ address: canonicalAddress(address), state }]
  })
}
