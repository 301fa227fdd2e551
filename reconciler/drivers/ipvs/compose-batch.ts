import { isDeepStrictEqual } from 'node:util'
import type { IpvsBackend, IpvsForwarding, IpvsServiceRow } from '../../../schemas/node-state.ts'
import { backendId, countStanding, dependsOnOrder } from './backend-order.ts'
import { formatEndpoint, matchWords } from './service-match.ts'

/** Lines for `ipvsadm -R`. */
export interface Batch {
  readonly lines: readonly string[]
  /** Backends that keep their connections are taken out and put in again, to come behind others. */
  readonly rotates: boolean
}

/**
 * What turns a service as it is into a service as wanted. Every line writes every attribute: an edit that leaves
 * out thresholds would set them to 0. New backends come first, and what goes goes last; where the order counts,
 * one backend at a time is taken out and at once put in behind the others.
 */
export function composeService(existing: IpvsServiceRow | undefined, wanted: IpvsServiceRow): Batch {
  const match = matchWords(wanted.match)
  const lines: string[] = []
  const write = (operation: string, words: readonly string[] = []): void => {
    lines.push([operation, ...match, ...words].join(' '))
  }
  const backends = existing?.backends ?? []
  if (existing === undefined) write('-A', serviceWords(wanted))
  else if (!samePolicy(existing, wanted)) write('-E', serviceWords(wanted))

  const known = new Map(backends.map(backend => [backendId(backend), backend]))
  const standing = dependsOnOrder(wanted) ? countStanding(backends, wanted.backends) : wanted.backends.length
  let rotates = false
  for (const [index, backend] of wanted.backends.entries()) {
    const before = known.get(backendId(backend))
    if (before === undefined) write('-a', backendWords(backend))
    else if (index >= standing) {
      rotates = true
      write('-d', ['-r', formatEndpoint(backend.address, backend.port)])
      write('-a', backendWords(backend))
    } else if (!isDeepStrictEqual(before, backend)) write('-e', backendWords(backend))
  }
  const kept = new Set(wanted.backends.map(backendId))
  for (const backend of backends)
    if (!kept.has(backendId(backend))) write('-d', ['-r', formatEndpoint(backend.address, backend.port)])
  return { lines, rotates }
}

export const composeRemoval = ({ match }: IpvsServiceRow): string => ['-D', ...matchWords(match)].join(' ')

const samePolicy = (a: IpvsServiceRow, b: IpvsServiceRow): boolean =>
  isDeepStrictEqual({ ...a, backends: [] }, { ...b, backends: [] })

function serviceWords({
  match,
  scheduler,
  schedulerFlags,
  persistence,
  onePacket,
}: IpvsServiceRow): string[] {
  const prefix = scheduler === 'sh' ? 'sh' : 'mh'
  const flags = (['port', 'fallback'] as const)
    .filter(flag => schedulerFlags[flag])
    .map(flag => `${prefix}-${flag}`)
  const ipv6 = match.by === 'address' ? match.vip.includes(':') : match.family === 'ipv6'
  return [
    '-s',
    scheduler,
    ...(persistence === null
      ? []
      : ['-p', String(persistence.timeout), '-M', maskOf(persistence.prefixLength, ipv6)]),
    ...(onePacket ? ['-o'] : []),
    ...(flags.length > 0 ? ['-b', flags.join(',')] : []),
  ]
}

const maskOf = (prefixLength: number, ipv6: boolean): string => {
  if (ipv6) return String(prefixLength)
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0
  return [mask >>> 24, (mask >>> 16) & 255, (mask >>> 8) & 255, mask & 255].join('.')
}

const backendWords = ({ address, port, weight, forwarding, upper, lower }: IpvsBackend): string[] => [
  '-r',
  formatEndpoint(address, port),
  ...forwardingWords(forwarding),
  ...['-w', String(weight), '-x', String(upper), '-y', String(lower)],
]

const CHECKSUMS = { none: '--tun-nocsum', full: '--tun-csum', remote: '--tun-remcsum' } as const

function forwardingWords(forwarding: IpvsForwarding): string[] {
  switch (forwarding.method) {
    case 'nat':
      return ['-m']
    case 'l2':
      return ['-g']
    // Without the type: it is the default, and older versions of ipvsadm do not know others.
    case 'ipip':
      return ['-i']
    case 'gue':
      return [
        '-i',
        '--tun-type',
        'gue',
        '--tun-port',
        String(forwarding.port),
        CHECKSUMS[forwarding.checksum],
      ]
    case 'gre':
      return ['-i', '--tun-type', 'gre', CHECKSUMS[forwarding.checksum]]
  }
}
