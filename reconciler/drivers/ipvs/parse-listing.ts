import { unreadable } from './failures.ts'
import { parseEndpoint, readMatch, serviceKey } from './service-match.ts'

/** What `ipvsadm -S` leaves out of a backend. */
export interface ListedBackend {
  readonly address: string
  readonly port: number
  readonly upper: number
  readonly lower: number
  /** Connections that are established (TCP, SCTP); for UDP none are. */
  readonly active: number
  /** All others that are remembered: opening, closing, and every UDP flow until it has been idle for its time-out. */
  readonly inactive: number
}

const TOOL = 'ipvsadm -L -n --thresholds --nosort'
const HEADINGS = [
  /^IP Virtual Server version /,
  /^Prot LocalAddress:Port +Uthreshold +Lthreshold +ActiveConn +InActConn *$/,
  /^ {2}-> RemoteAddress:Port *$/,
]
const OPTIONS: Readonly<Record<string, string>> = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service', FWM: '-f' }

/**
 * The output of `ipvsadm -L -n --thresholds --nosort`: the backends of every service, in the order in which they were
 * added (the kernel lists them newest first). Throws `IPVS_OUTPUT_UNREADABLE` at a line that is not understood.
 */
export function parseListing(text: string): Map<string, ListedBackend[]> {
  const services = new Map<string, ListedBackend[]>()
  let backends: ListedBackend[] | null = null
  const [version = '', columns = '', endpoints = '', ...lines] = text.split('\n')
  for (const [i, heading] of [version, columns, endpoints].entries())
    if (!HEADINGS[i]!.test(heading)) throw unreadable(TOOL, heading)
  for (const line of lines) {
    if (line === '') continue
    try {
      if (line.startsWith('  -> ')) {
        if (backends === null) throw new TypeError('a backend of no service')
        backends.unshift(readBackend(line))
      } else {
        const [kind = '', name = '', third] = line.split(/ +/)
        const option = OPTIONS[kind]
        if (option === undefined) throw new TypeError(`no service is a ${kind}`)
        const { match } = readMatch([option, name, ...(kind === 'FWM' && third === 'IPv6' ? ['-6'] : [])])
        backends = []
        services.set(serviceKey(match), backends)
      }
    } catch (cause) {
      throw unreadable(TOOL, line, cause)
    }
  }
  return services
}

function readBackend(line: string): ListedBackend {
  const columns = /^ {2}-> (\S+) +(\d+) +(\d+) +(\d+) +(\d+) *$/.exec(line)
  if (columns === null) throw new TypeError('not five columns')
  const [upper, lower, active, inactive] = columns.slice(2).map(Number) as [number, number, number, number]
  return { ...parseEndpoint(columns[1]!), upper, lower, active, inactive }
}
