import type { Service } from '../../schemas/manifest/service.ts'
import type { XdpServiceRow } from '../../schemas/node-state.ts'

/** Whom a service lets in, and how often. */
export function accessOfRow({
  access,
  flowLimit,
}: Pick<Service['spec'], 'access' | 'flowLimit'>): Pick<XdpServiceRow, 'access' | 'flowLimit'> {
  const { allow = [], deny = [] } = access ?? {}
  return {
    ...(allow.length + deny.length > 0 && {
      access: {
        otherwise: allow.length > 0 ? 'deny' : 'allow',
        allow: allow.toSorted(),
        deny: deny.toSorted(),
      },
    }),
    ...(flowLimit && {
      flowLimit: {
        perSecond: flowLimit.perSecond,
        burst: flowLimit.burst ?? flowLimit.perSecond,
        ipv4Bits: flowLimit.ipv4PrefixLength,
        ipv6Bits: flowLimit.ipv6PrefixLength,
      },
    }),
  }
}
