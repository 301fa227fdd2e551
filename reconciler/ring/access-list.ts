import ipaddr from 'ipaddr.js'
import type { Access, FlowLimit } from '../../schemas/node-state.ts'

/** Whether a service lets a source in: the longest prefix that holds it decides (bpf/access.h). */
export function letsIn({ allow, deny, otherwise }: Access, source: string): boolean {
  const address = ipaddr.parse(source)
  let longest = -1
  let allowed = otherwise === 'allow'
  for (const [prefixes, isAllowed] of [
    [allow, true],
    [deny, false],
  ] as const)
    for (const prefix of prefixes) {
      const [base, bits] = ipaddr.parseCIDR(prefix)
      if (bits <= longest || base.kind() !== address.kind() || !address.match(base, bits)) continue
      longest = bits
      allowed = isAllowed
    }
  return allowed
}

/** The prefix whose new flows a source's are counted with (bpf/flow_limit.h). */
export function limitedPrefix({ ipv4Bits, ipv6Bits }: FlowLimit, source: string): string {
  if (source.includes(':')) {
    const text = `${source}/${ipv6Bits}`
    return `${ipaddr.IPv6.networkAddressFromCIDR(text).toRFC5952String()}/${ipv6Bits}`
  }
  return `${ipaddr.IPv4.networkAddressFromCIDR(`${source}/${ipv4Bits}`).toString()}/${ipv4Bits}`
}
