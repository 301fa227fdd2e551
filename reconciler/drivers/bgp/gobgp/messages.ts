/** What of GoBGP's messages is used here, as proto-loader gives and takes them (gobgp.proto and attribute.proto of GoBGP 3). */

export type FamilyName = 'ipv4' | 'ipv6'

export interface Family {
  readonly afi: 'AFI_IP' | 'AFI_IP6'
  readonly safi: 'SAFI_UNICAST'
}

export const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  ipv4: { afi: 'AFI_IP', safi: 'SAFI_UNICAST' },
  ipv6: { afi: 'AFI_IP6', safi: 'SAFI_UNICAST' },
}

export const familyOf = (address: string): FamilyName => (address.includes(':') ? 'ipv6' : 'ipv4')

export interface Global {
  /** 0: not started. */
  readonly asn: number
  readonly routerId: string
  readonly listenPort: number
}

export interface Peer {
  readonly conf: {
    readonly neighborAddress: string
    readonly peerAsn: number
    readonly authPassword: string
    readonly description: string
    readonly adminDown: boolean
  }
  readonly state: {
    /** `ESTABLISHED`, `ACTIVE`, … */
    readonly sessionState: string
    readonly adminState: 'UP' | 'DOWN' | 'PFX_CT'
    readonly flops: number
    /** What the peer said that it can. */
    readonly remoteCap: readonly { readonly '@type': string; readonly family?: { readonly afi: string } }[]
  }
  readonly ebgpMultihop: { readonly enabled: boolean; readonly multihopTtl: number }
  readonly timers: {
    readonly config: {
      readonly connectRetry: number
      readonly holdTime: number
      readonly keepaliveInterval: number
    }
    readonly state: { readonly uptime: Timestamp | null; readonly downtime: Timestamp | null }
  }
  readonly transport: { readonly localAddress: string; readonly remotePort: number }
  readonly gracefulRestart: { readonly enabled: boolean; readonly restartTime: number }
  readonly afiSafis: readonly { readonly config: { readonly family: Family; readonly enabled: boolean } }[]
}

export interface Timestamp {
  readonly seconds: number
}

/** One of many types, told by `@type`. */
export interface Attribute {
  readonly '@type': string
}

export interface LargeCommunity {
  readonly globalAdmin: number
  readonly localData1: number
  readonly localData2: number
}

export interface Path {
  readonly nlri: { readonly prefix: string; readonly prefixLen: number }
  readonly pattrs: readonly Attribute[]
  /** `<nil>` for what was added here. */
  readonly neighborIp: string
}

export interface Destination {
  readonly prefix: string
  readonly paths: readonly Path[]
}

export interface DefinedSet {
  readonly definedType: string
  readonly name: string
  readonly list: readonly string[]
}

export interface PolicyAssignment {
  readonly policies: readonly { readonly name: string; readonly statements: readonly object[] }[]
  readonly direction: string
  readonly defaultAction: string
}
