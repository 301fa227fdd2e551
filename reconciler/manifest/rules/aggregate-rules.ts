import ipaddr from 'ipaddr.js'
import type { Service } from '../../../schemas/manifest/service.ts'
import { familyOf, isInside, prefixFor } from '../announcements.ts'
import { ANNOUNCE, announcedIn } from './announced.ts'
import type { Rule } from './rule.ts'

const announceAggregate: Rule = {
  id: 'announce-aggregate',
  severity: 'error',
  *check(context) {
    const allowed = context.fleets[0]?.spec.vipPrefixes ?? []
    for (const { service, announce } of announcedIn(context))
      for (const [index, prefix] of (announce.aggregate ?? []).entries()) {
        const at = () => service.locate([...ANNOUNCE, 'aggregate', index])
        const [address, bits] = ipaddr.parseCIDR(prefix)
        const network =
          address.kind() === 'ipv4'
            ? ipaddr.IPv4.networkAddressFromCIDR(prefix).toString()
            : ipaddr.IPv6.networkAddressFromCIDR(prefix).toRFC5952String()
        const hosts = (vip: string) => `${vip}/${familyOf(vip) === 'ipv4' ? 32 : 128}`
        if (!prefix.startsWith(`${network}/`))
          yield {
            at: at(),
            message: `${prefix} has bits set behind its first ${bits}.`,
            hint: `Write ${network}/${bits}.`,
          }
        else if (!service.spec.vip.some(vip => isInside(hosts(vip), prefix)))
          yield {
            at: at(),
            message: `${prefix} covers none of the VIPs of ${service.metadata.name}.`,
            hint: 'Write a prefix that holds the VIP of its family, or leave aggregate out to announce the VIP alone.',
          }
        else if (announce.aggregate!.slice(0, index).some(other => familyOf(other) === familyOf(prefix)))
          yield {
            at: at(),
            message: `${service.metadata.name} has two aggregates of one family, and one VIP of each.`,
            hint: 'Keep the one that holds the VIP.',
          }
        else if (allowed.length > 0 && !allowed.some(range => isInside(prefix, range.prefix)))
          yield {
            at: at(),
            message: `${prefix} is not inside a prefix that the Fleet allows for VIPs: it would lead others' traffic here.`,
            hint: 'Write a longer prefix, or add it to spec.vipPrefixes of the Fleet.',
          }
      }
  },
}

const announceHole: Rule = {
  id: 'announce-hole',
  severity: 'warning',
  *check(context) {
    const looked = new Set<string>()
    for (const { service, announce } of announcedIn(context)) {
      const { aggregate } = announce
      if (aggregate === undefined) continue
      const id = JSON.stringify([aggregate, service.spec.nodes])
      if (looked.has(id)) continue
      looked.add(id)
      const nodes = context.nodesOf(service).filter(({ spec }) => spec.bgp !== undefined)
      for (const other of context.services) {
        const served = new Set(context.nodesOf(other))
        const hole = nodes.find(node => !served.has(node))
        const vip = other.spec.vip.find(each =>
          aggregate.some(prefix => isInside(`${each}/${familyOf(each) === 'ipv4' ? 32 : 128}`, prefix)),
        )
        if (hole === undefined || vip === undefined || isExact(other, vip)) continue
        yield {
          at: service.locate([...ANNOUNCE, 'aggregate']),
          message: `Node ${hole.metadata.name} announces ${prefixFor(vip, announce)} and does not serve ${vip} of ${other.metadata.name}: packets for it that come there are lost.`,
          hint: `Let ${other.metadata.name} be served by the same nodes, or announce ${vip} alone where it is.`,
        }
      }
    }
  },
}

/** Whether routers know better where the VIP is. */
const isExact = ({ spec }: Service, vip: string): boolean =>
  spec.announce !== undefined && spec.announce !== false && /\/(32|128)$/.test(prefixFor(vip, spec.announce))

export const aggregateRules: readonly Rule[] = [announceAggregate, announceHole]
