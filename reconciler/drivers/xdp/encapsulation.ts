import type { XdpServiceRow } from '../../../schemas/node-state.ts'

type Encapsulation = Pick<XdpServiceRow, 'encapsulation' | 'gue'>

/** `enum encapsulation`. */
const ENCAP_IPIP = 1
const ENCAP_GUE = 2
const ENCAP_GUE_0 = 3
const ENCAP_L2 = 4
const ENCAP_GUE_SUM = 5
const ENCAP_GUE_0_SUM = 6

/** Of `enum member_flags`, those that follow from the encapsulation of the ring. */
const MEMBER_GUE = 1 << 1
const MEMBER_GUE_HEADER = 1 << 2
const MEMBER_L2 = 1 << 4
const MEMBER_CHECKSUM = 1 << 5

export function encodeEncapsulation({ encapsulation, gue }: Encapsulation): number {
  if (encapsulation === 'l2') return ENCAP_L2
  if (gue === undefined) return ENCAP_IPIP
  if (gue.checksum === 'computed') return gue.variant === 1 ? ENCAP_GUE_SUM : ENCAP_GUE_0_SUM
  return gue.variant === 1 ? ENCAP_GUE : ENCAP_GUE_0
}

/** `port`: of GUE. Undefined for what Ballast does not write. */
export function decodeEncapsulation(value: number, port: number): Encapsulation | undefined {
  switch (value) {
    case ENCAP_IPIP:
      return { encapsulation: 'ipip' }
    case ENCAP_L2:
      return { encapsulation: 'l2' }
    case ENCAP_GUE:
      return { encapsulation: 'gue', gue: { variant: 1, port } }
    case ENCAP_GUE_0:
      return { encapsulation: 'gue', gue: { variant: 0, port } }
    case ENCAP_GUE_SUM:
      return { encapsulation: 'gue', gue: { variant: 1, port, checksum: 'computed' } }
    case ENCAP_GUE_0_SUM:
      return { encapsulation: 'gue', gue: { variant: 0, port, checksum: 'computed' } }
    default:
      return undefined
  }
}

/** `ipv6`: of the backend's address, and so of the outer header. */
export function memberFlagsOf({ encapsulation, gue }: Encapsulation, ipv6: boolean): number {
  if (encapsulation === 'l2') return MEMBER_L2
  if (gue === undefined) return 0
  const header = gue.variant === 0 ? MEMBER_GUE_HEADER : 0
  const checksum = ipv6 && gue.checksum === 'computed' ? MEMBER_CHECKSUM : 0
  return MEMBER_GUE | header | checksum
}
