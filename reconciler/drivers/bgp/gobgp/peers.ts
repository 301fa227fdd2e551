import { z } from 'zod'
import { canonicalAddress } from '../../../../schemas/address.ts'
import type { BgpPeerRow } from '../../../../schemas/node-state.ts'
import { FAMILIES, type FamilyName, type Peer } from './messages.ts'

/** Sessions as GoBGP has them, and back. Pure. */

/** Stands in the description of a session: what GoBGP has no field for, or does not say again. */
const Note = z.strictObject({
  ballast: z.string(),
  limit: z.int(),
  /** The name of the password's file. */
  password: z.string().nullable(),
  /** Whether the local address is the one that was asked for, and not the kernel's choice. */
  local: z.boolean(),
})
type Note = z.infer<typeof Note>

/** `secret`: '' for none. */
export function composePeer(row: BgpPeerRow, secret: string): object {
  const { timers, gracefulRestart, password, localAddress } = row
  const note: Note = {
    ballast: row.name,
    limit: row.exportLimit,
    password: password?.file ?? null,
    local: localAddress !== '',
  }
  const restarts = gracefulRestart > 0
  return {
    conf: {
      neighborAddress: row.address,
      peerAsn: row.asn,
      authPassword: secret,
      description: JSON.stringify(note),
    },
    ebgpMultihop: { enabled: row.ttl > 1, multihopTtl: row.ttl },
    timers: {
      config: {
        connectRetry: timers.retry,
        holdTime: timers.hold,
        keepaliveInterval: timers.keepalive,
      },
    },
    transport: { localAddress, remotePort: row.port },
    gracefulRestart: { enabled: restarts, restartTime: gracefulRestart },
    afiSafis: row.families.map(family => ({
      config: { family: FAMILIES[family], enabled: true },
      mpGracefulRestart: { config: { enabled: restarts } },
    })),
  }
}

/** Null for one that is not Ballast's. `stale` is false. */
export function readPeer(peer: Peer): BgpPeerRow | null {
  const { conf, ebgpMultihop, timers, transport, gracefulRestart } = peer
  const note = readNote(conf.description)
  if (note === null) return null
  return {
    kind: 'peer',
    name: note.ballast,
    address: canonicalAddress(conf.neighborAddress),
    localAddress: note.local ? canonicalAddress(transport.localAddress) : '',
    asn: conf.peerAsn,
    port: transport.remotePort,
    password: note.password === null ? null : { file: note.password, stale: false },
    ttl: ebgpMultihop.enabled ? ebgpMultihop.multihopTtl : 1,
    bfd: null,
    timers: {
      hold: timers.config.holdTime,
      keepalive: timers.config.keepaliveInterval,
      retry: timers.config.connectRetry,
    },
    gracefulRestart: gracefulRestart.enabled ? gracefulRestart.restartTime : 0,
    families: familiesOf(peer),
    exportLimit: note.limit,
  }
}

function readNote(description: string): Note | null {
  try {
    return Note.safeParse(JSON.parse(description)).data ?? null
  } catch {
    return null
  }
}

const familiesOf = ({ afiSafis }: Peer): FamilyName[] =>
  (['ipv4', 'ipv6'] as const).filter(name =>
    afiSafis.some(({ config }) => config.enabled && config.family.afi === FAMILIES[name].afi),
  )

/** Somebody disabled it, or GoBGP did. */
export const isDisabled = ({ conf, state }: Peer): boolean => conf.adminDown || state.adminState !== 'UP'

/** Whether what is sent to it can be seen: the session is up, and the peer takes the family. */
export function familyIsUp({ state }: Peer, family: FamilyName): boolean {
  if (state.sessionState !== 'ESTABLISHED') return false
  const said = state.remoteCap.filter(each => each['@type'].endsWith('.MultiProtocolCapability'))
  return said.length === 0 ? family === 'ipv4' : said.some(each => each.family?.afi === FAMILIES[family].afi)
}
