import { canonicalAddress, serviceId } from '../../../schemas/address.ts'
import type { IpvsServiceRow, RowKey } from '../../../schemas/node-state.ts'

/** What packets of a virtual service are known by. */
export type ServiceMatch = IpvsServiceRow['match']

export const serviceKey = (match: ServiceMatch): RowKey =>
  match.by === 'address'
    ? `service/${serviceId(match.vip, match.port, match.protocol)}`
    : `fwmark/${match.mark}/${match.family}`

/** `203.0.113.10:80`, `[2001:db8::10]:80`, both numeric. Throws `TypeError` on anything else. */
export function parseEndpoint(text: string): { address: string; port: number } {
  const [, ipv6, ipv4, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535) throw new TypeError(`${text} is no address:port`)
  return { address: canonicalAddress(ipv6 ?? ipv4 ?? ''), port }
}

export const formatEndpoint = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

const PROTOCOL_OPTIONS = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const

/** The words of ipvsadm that name the service. */
export const matchWords = (match: ServiceMatch): readonly string[] =>
  match.by === 'address'
    ? [PROTOCOL_OPTIONS[match.protocol], formatEndpoint(match.vip, match.port)]
    : ['-f', String(match.mark), ...(match.family === 'ipv6' ? ['-6'] : [])]

/** The service that `words` begin with, and the words behind it. Throws `TypeError` where they name none. */
export function readMatch(words: readonly string[]): { match: ServiceMatch; rest: readonly string[] } {
  const [option, name = '', ...rest] = words
  const protocol = (['tcp', 'udp', 'sctp'] as const).find(each => PROTOCOL_OPTIONS[each] === option)
  if (protocol !== undefined) {
    const { address: vip, port } = parseEndpoint(name)
    return { match: { by: 'address', vip, port, protocol }, rest }
  }
  if (option !== '-f' || !/^-?\d{1,10}$/.test(name))
    throw new TypeError(`no service is named by ${option} ${name}`)
  // ipvsadm prints marks from 2^31 on as negative numbers.
  const mark = Number(name) >>> 0
  return rest[0] === '-6'
    ? { match: { by: 'fwmark', mark, family: 'ipv6' }, rest: rest.slice(1) }
    : { match: { by: 'fwmark', mark, family: 'ipv4' }, rest }
}
