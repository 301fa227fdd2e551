import ipaddr from 'ipaddr.js'
import type { Manifest, ValuePath } from '../manifest.ts'
import type { Finding, Rule } from './rule.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** What no router forwards to one machine, by canonical text: 200,000 addresses are looked at in one push. */
const UNUSABLE: readonly (readonly [RegExp, string])[] = [
  [/^(0\.|::$)/, 'the unspecified address'],
  [/^(127\.|::1$)/, 'a loopback address'],
  [/^(169\.254\.|fe[89ab][\da-f]:)/, 'a link-local address'],
  [/^(22[4-9]\.|23\d\.|ff[\da-f]{2}:)/, 'a multicast address'],
  [/^255\.255\.255\.255$/, 'the broadcast address'],
]
const ANY_UNUSABLE = new RegExp(UNUSABLE.map(([pattern]) => pattern.source).join('|'))

const addressUsable: Rule = {
  id: 'address-usable',
  severity: 'error',
  local: true,
  *check({ services, nodes, backendSets }) {
    for (const service of services)
      for (const [index, vip] of service.spec.vip.entries())
        yield* refuse(service, ['spec', 'vip', index], `The VIP ${vip}`, [vip])
    for (const { owner, backends } of backendSets)
      for (const [index, { address }] of backends.entries())
        yield* refuse(owner, ['spec', 'backends', index, 'address'], `The backend ${address}`, [address])
    for (const node of nodes)
      for (const family of ['ipv4', 'ipv6'] as const) {
        const prefix = node.spec.sources[family]
        if (prefix !== undefined)
          yield* refuse(
            node,
            ['spec', 'sources', family],
            `The source prefix ${prefix}`,
            endsOf(prefix).map(textOf),
          )
      }
  },
}

function* refuse(
  manifest: Manifest,
  path: ValuePath,
  what: string,
  addresses: readonly string[],
): Iterable<Finding> {
  const address = addresses.find(each => ANY_UNUSABLE.test(each))
  if (address === undefined) return
  const [, why] = UNUSABLE.find(([pattern]) => pattern.test(address))!
  yield {
    at: manifest.locate(path),
    message: `${what} ${addresses.length > 1 ? 'holds' : 'is'} ${why}, which is not routed to any one machine.`,
    hint: 'Choose a unicast address that your network routes.',
  }
}

const prefixHostBits: Rule = {
  id: 'prefix-host-bits',
  severity: 'error',
  local: true,
  *check({ nodes, fleets, services }) {
    for (const service of services)
      for (const list of ['allow', 'deny'] as const)
        for (const [index, prefix] of (service.spec.access?.[list] ?? []).entries())
          yield* hostBits(service, ['spec', 'access', list, index], prefix)
    for (const node of nodes)
      for (const family of ['ipv4', 'ipv6'] as const)
        yield* hostBits(node, ['spec', 'sources', family], node.spec.sources[family])
    for (const fleet of fleets)
      for (const [index, { prefix }] of fleet.spec.vipPrefixes.entries())
        yield* hostBits(fleet, ['spec', 'vipPrefixes', index, 'prefix'], prefix)
  },
}

function* hostBits(manifest: Manifest, path: ValuePath, prefix: string | undefined): Iterable<Finding> {
  if (prefix === undefined) return
  const [address, bits] = ipaddr.parseCIDR(prefix)
  const [network] = endsOf(prefix).map(textOf)
  const one = textOf(address)
  if (one === network) return
  yield {
    at: manifest.locate(path),
    message: `${prefix} has bits set behind its first ${bits}.`,
    hint: `Write ${network}/${bits} for the prefix, or ${one}/${address.kind() === 'ipv4' ? 32 : 128} for the one address.`,
  }
}

const textOf = (address: Address) =>
  address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString()

/** The first and the last address of a prefix. */
function endsOf(prefix: string): [Address, Address] {
  const [address, bits] = ipaddr.parseCIDR(prefix)
  const first = address.toByteArray()
  const last = [...first]
  for (let bit = bits; bit < first.length * 8; bit += 1) {
    const mask = 0x80 >> (bit % 8)
    first[bit >> 3]! &= ~mask
    last[bit >> 3]! |= mask
  }
  return [ipaddr.fromByteArray(first), ipaddr.fromByteArray(last)]
}

export const addressRules: readonly Rule[] = [addressUsable, prefixHostBits]
