import { createHash } from 'node:crypto'
import type { LargeCommunity } from './messages.ts'

/**
 * To which peers a route goes is written on the route, as large communities of an AS that nobody has (RFC 7300), which
 * the export policy looks for and takes off. The policy then depends on the peers alone: GoBGP does not withdraw what a
 * changed policy rejects, and does withdraw what a changed route's marks say.
 */
const NOBODY = 0xffff_ffff
/** No hash of a name: what follows is how many times the own AS is prepended. */
const PREPEND = 0

/** Matches every mark. */
export const ANY_MARK = `^${NOBODY}:`

/** `sent`, or held back because the peer takes no more. It depends on the name alone. */
export function markOf(peer: string, sent: boolean): LargeCommunity {
  const hash = createHash('sha256').update(peer).digest()
  const [first, second] = [hash.readUInt32BE(0), hash.readUInt32BE(4)]
  return {
    globalAdmin: NOBODY,
    localData1: Math.max(first, 1),
    localData2: (second & 0x7fff_fffe) + (sent ? 0 : 1),
  }
}

export const prependMarkOf = (times: number): LargeCommunity => ({
  globalAdmin: NOBODY,
  localData1: PREPEND,
  localData2: times,
})

export const isMark = ({ globalAdmin }: LargeCommunity): boolean => globalAdmin === NOBODY

/** As GoBGP and operators write it. */
export const textOf = ({ globalAdmin, localData1, localData2 }: LargeCommunity): string =>
  `${globalAdmin}:${localData1}:${localData2}`

export const prependOf = (communities: readonly LargeCommunity[]): number =>
  communities.find(each => isMark(each) && each.localData1 === PREPEND)?.localData2 ?? 0
