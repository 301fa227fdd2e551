import ipaddr from 'ipaddr.js'
import type { Manifest, ValuePath } from '../manifest.ts'
import type { Finding, Rule } from './rule.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** Ranges that no router forwards to one machine, by the names that ipaddr.js has for them. */
const UNUSABLE: Readonly<Record<string, string>> = {
  unspecified: 'the unspecified address',
  broadcast: 'the broadcast address',
  multicast: 'a multicast address',
  linkLocal: 'a link-local address',
  loopback: 'a loopback address',
}

const addressUsable: Rule = {
  id: 'address-usable',
  severity: 'error',
  *check({ services, nodes, backendSets }) {
    for (const service of services)
      for (const [index, vip] of service.spec.vip.entries())
        yield* refuse(service, ['spec', 'vip', index], `The VIP ${vip}`, [ipaddr.parse(vip)])
    for (const { owner, backends } of backendSets)
      for (const [index, { address }] of backends.entries())
        yield* refuse(owner, ['spec', 'backends', index, 'address'], `The backend ${address}`, [
          ipaddr.parse(address),
        ])
    for (const node of nodes)
      for (const family of ['ipv4', 'ipv6'] as const) {
        const prefix = node.spec.sources[family]
        if (prefix !== undefined)
          yield* refuse(node, ['spec', 'sources', family], `The source prefix ${prefix}`, endsOf(prefix))
      }
  },
}

function* refuse(
  manifest: Manifest,
  path: ValuePath,
  what: string,
  addresses: readonly Address[],
): Iterable<Finding> {
  for (const address of addresses) {
    const why = UNUSABLE[address.range()]
    if (why === undefined) continue
    yield {
      at: manifest.locate(path),
      message: `${what} is, or holds, ${why}, which is not routed to any one machine.`,
      hint: 'Choose a unicast address that your network routes.',
    }
    return
  }
}

const prefixHostBits: Rule = {
  id: 'prefix-host-bits',
  severity: 'error',
  *check({ nodes, fleets }) {
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
  const [network] = endsOf(prefix)
  if (address.toNormalizedString() === network!.toNormalizedString()) return
  yield {
    at: manifest.locate(path),
    message: `${prefix} has bits set behind its first ${bits}.`,
    hint: `Write ${network}/${bits} for the prefix, or ${address}/${address.kind() === 'ipv4' ? 32 : 128} for the one address.`,
  }
}

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
