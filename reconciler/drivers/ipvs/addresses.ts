import { z } from 'zod'
import { canonicalAddress } from '../../../schemas/address.ts'
import { unreadable } from './failures.ts'

const Interfaces = z.array(
  z.object({
    ifname: z.string().optional(),
    addr_info: z.array(z.object({ local: z.string().optional(), prefixlen: z.int().optional() })).optional(),
  }),
)

/**
 * The output of `ip -j addr show`: the interfaces that have an address as a /32 or /128, by that address. One with a
 * network behind it is the machine's own and no VIP. Throws `IPVS_OUTPUT_UNREADABLE`.
 */
export function parseAddresses(text: string): Map<string, string[]> {
  const holders = new Map<string, string[]>()
  let interfaces: z.infer<typeof Interfaces>
  try {
    interfaces = Interfaces.parse(JSON.parse(text))
  } catch (cause) {
    throw unreadable('ip -j addr show', text, cause)
  }
  for (const { ifname, addr_info = [] } of interfaces)
    for (const { local, prefixlen } of addr_info) {
      if (ifname === undefined || local === undefined) continue
      if (prefixlen !== (local.includes(':') ? 128 : 32)) continue
      const address = canonicalAddress(local)
      holders.set(address, [...(holders.get(address) ?? []), ifname])
    }
  return holders
}

const prefixOf = (address: string): string => (address.includes(':') ? `${address}/128` : `${address}/32`)

/** Lines for `ip -batch`: the address on that interface and, as one of its own, on no other; on none where it is null. */
export function composeAddress(address: string, on: string | null, holders: readonly string[]): string[] {
  const missing = on !== null && !holders.includes(on)
  // It is an address of a loopback or dummy interface: nobody answers a duplicate address detection.
  const nodad = address.includes(':') ? ' nodad' : ''
  return [
    ...(missing ? [`addr add ${prefixOf(address)} dev ${on}${nodad}`] : []),
    ...holders.filter(name => name !== on).map(name => `addr del ${prefixOf(address)} dev ${name}`),
  ]
}
