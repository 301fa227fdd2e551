import ipaddr from 'ipaddr.js'
import { BallastError } from '../../schemas/ballast-error.ts'

/** Where a request came from: the address of its connection, and what it says of whom it was forwarded for. */
export interface Arrival {
  /** Undefined: a unix socket. */
  readonly peer: string | undefined
  readonly forwardedFor: string | undefined
}

/** An address for the log, and what its requests are counted under: with IPv6, everybody in a /64 is one. */
export interface Source {
  readonly address: string
  readonly counted: string
}

/** One more than any chain of proxies that makes sense. */
const MOST_HOPS = 16

/**
 * Reads `trustedProxies`: of the addresses in X-Forwarded-For the last one that no trusted proxy has is believed,
 * and only when the connection itself comes from a trusted proxy.
 */
export function createSourceReader(trustedProxies: string | undefined): (arrival: Arrival) => Source {
  const entries = trustedProxies?.split(',') ?? []
  const prefixes = entries.filter(entry => entry !== 'unix').map(toPrefix)
  const trustsUnix = entries.includes('unix')
  const isTrusted = (address: string | undefined): boolean =>
    address === undefined
      ? trustsUnix
      : prefixes.some(([network, length]) => {
          const parsed = parse(address)
          return parsed !== null && parsed.kind() === network.kind() && parsed.match(network, length)
        })
  return ({ peer, forwardedFor }) => {
    const chain = (forwardedFor ?? '')
      .split(',')
      .map(hop => hop.trim())
      .slice(-MOST_HOPS)
    let address = peer
    while (isTrusted(address)) {
      const next = chain.pop()
      if (next === undefined || parse(next) === null) break
      address = next
    }
    return describe(address)
  }
}

type Address = ipaddr.IPv4 | ipaddr.IPv6

function toPrefix(text: string): [Address, number] {
  if (!ipaddr.isValid(text) && !ipaddr.isValidCIDR(text)) {
    throw new BallastError({
      code: 'TRUSTED_PROXIES_INVALID',
      message: `${text}, in trustedProxies, is neither an address nor a prefix`,
      hint: 'Give addresses and prefixes with commas, for instance 192.0.2.1,2001:db8::/64.',
    })
  }
  if (text.includes('/')) return ipaddr.parseCIDR(text)
  const address = ipaddr.process(text)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

/** IPv4 in IPv6 is IPv4: what a socket for both gives. */
const parse = (text: string): Address | null => (ipaddr.isValid(text) ? ipaddr.process(text) : null)

function describe(address: string | undefined): Source {
  const parsed = address === undefined ? null : parse(address)
  if (parsed === null) return { address: 'unix', counted: 'unix' }
  const text = parsed.toString()
  const counted = parsed.kind() === 'ipv6' ? `${parsed.toByteArray().slice(0, 8).join('.')}/64` : text
  return { address: text, counted }
}
