import type { IpvsForwarding, IpvsServiceRow } from '../../../schemas/node-state.ts'
import { unreadable } from './failures.ts'
import { parseEndpoint, readMatch, type ServiceMatch, serviceKey } from './service-match.ts'

/** A service as `ipvsadm -S -n` has it. What is behind its name is only looked at where the service is ours. */
export interface SavedService {
  readonly match: ServiceMatch
  /** Throws `IPVS_OUTPUT_UNREADABLE`. */
  readonly policy: () => Omit<IpvsServiceRow, 'kind' | 'match' | 'backends'>
  readonly backends: SavedBackend[]
}

export interface SavedBackend {
  readonly address: string
  readonly port: number
  /** Throws `IPVS_OUTPUT_UNREADABLE`. */
  readonly policy: () => { weight: number; forwarding: IpvsForwarding }
}

const TOOL = 'ipvsadm -S -n'

/**
 * The output of `ipvsadm -S -n`, by key: everything but thresholds and the order of backends, which it sorts. Throws
 * `IPVS_OUTPUT_UNREADABLE` at a line that is no service and no backend of the service before it.
 */
export function parseRules(text: string): Map<string, SavedService> {
  const services = new Map<string, SavedService>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [operation, ...words] = line.trimEnd().split(/ +/)
    try {
      const { match, rest } = readMatch(words)
      const key = serviceKey(match)
      if (operation === '-A')
        services.set(key, {
          match,
          backends: [],
          policy: () => strictly(line, () => servicePolicy(match, rest)),
        })
      else if (operation === '-a' && services.has(key) && rest[0] === '-r')
        services.get(key)!.backends.push({
          ...parseEndpoint(rest[1] ?? ''),
          policy: () => strictly(line, () => backendPolicy(rest.slice(2))),
        })
      else throw new TypeError('neither a service nor a backend of one')
    } catch (cause) {
      throw unreadable(TOOL, line, cause)
    }
  }
  return services
}

function strictly<Result>(line: string, read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    throw unreadable(TOOL, line, cause)
  }
}

/** What each flag of a scheduler means; other schedulers print the bits by number. */
const FLAGS: Readonly<Record<string, 'port' | 'fallback'>> = {
  'mh-port': 'port',
  'sh-port': 'port',
  'flag-2': 'port',
  'mh-fallback': 'fallback',
  'sh-fallback': 'fallback',
  'flag-1': 'fallback',
}

function servicePolicy(match: ServiceMatch, words: readonly string[]) {
  const options = readOptions(words, { '-s': 1, '-p': 1, '-M': 1, '-b': 1, '--pe': 1, '-o': 0 })
  const schedulerFlags = { port: false, fallback: false }
  for (const flag of options['-b']?.split(',') ?? []) {
    const name = FLAGS[flag]
    if (name === undefined) throw new TypeError(`no scheduler has the flag ${flag}`)
    schedulerFlags[name] = true
  }
  const ipv6 = match.by === 'address' ? match.vip.includes(':') : match.family === 'ipv6'
  const persistence =
    options['-p'] === undefined
      ? null
      : {
          timeout: readNumber(options['-p']),
          prefixLength: readMask(options['-M'], ipv6),
          engine: options['--pe'] ?? '',
        }
  const scheduler = options['-s']
  if (scheduler === undefined) throw new TypeError('no scheduler')
  return { scheduler, schedulerFlags, persistence, onePacket: options['-o'] !== undefined }
}

const METHODS: Readonly<Record<string, 'l2' | 'nat' | 'tunnel'>> = { '-g': 'l2', '-m': 'nat', '-i': 'tunnel' }

function backendPolicy(words: readonly string[]): { weight: number; forwarding: IpvsForwarding } {
  const options = readOptions(words, {
    ...{ '-g': 0, '-i': 0, '-m': 0, '-w': 1 },
    ...{ '--tun-type': 1, '--tun-port': 1, '--tun-nocsum': 0, '--tun-csum': 0, '--tun-remcsum': 0 },
  })
  const methods = Object.keys(METHODS).filter(option => options[option] !== undefined)
  if (methods.length !== 1) throw new TypeError('no way of forwarding')
  const method = METHODS[methods[0]!]!
  const forwarding = method === 'tunnel' ? readTunnel(options) : ({ method } as const)
  return { weight: readNumber(options['-w']), forwarding }
}

function readTunnel(options: Options): IpvsForwarding {
  const type = options['--tun-type'] ?? 'ipip'
  const checksum =
    options['--tun-remcsum'] !== undefined ? 'remote' : options['--tun-csum'] !== undefined ? 'full' : 'none'
  if (type === 'ipip') return { method: 'ipip' }
  if (type === 'gue') return { method: 'gue', port: readNumber(options['--tun-port']), checksum }
  if (type === 'gre' && checksum !== 'remote') return { method: 'gre', checksum }
  throw new TypeError(`no tunnel is called ${type}`)
}

type Options = Readonly<Record<string, string | undefined>>

/** `arity`: how many words an option takes behind it, 0 or 1; one that takes none reads as ''. */
function readOptions(words: readonly string[], arity: Readonly<Record<string, number>>): Options {
  const options: Record<string, string> = {}
  for (let i = 0; i < words.length; i++) {
    const option = words[i]!
    const count = Object.hasOwn(arity, option) ? arity[option] : undefined
    if (count === undefined || Object.hasOwn(options, option)) throw new TypeError(`the option ${option}`)
    options[option] = count === 0 ? '' : (words[++i] ?? '')
  }
  return options
}

function readNumber(text: string | undefined): number {
  if (text === undefined || !/^\d{1,10}$/.test(text)) throw new TypeError(`${text} is no number`)
  return Number(text)
}

/** A netmask for IPv4, a prefix length for IPv6; without one, the whole address. */
function readMask(text: string | undefined, ipv6: boolean): number {
  if (ipv6) return text === undefined ? 128 : readNumber(text)
  if (text === undefined) return 32
  const bits = parseEndpoint(`${text}:0`)
    .address.split('.')
    .map(octet => Number(octet).toString(2).padStart(8, '0'))
    .join('')
  if (!/^1*0*$/.test(bits)) throw new TypeError(`${text} is no netmask`)
  return bits.lastIndexOf('1') + 1
}
