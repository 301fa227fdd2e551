import { z } from 'zod'
import { BackendPool } from './backend-pool.ts'
import { BgpPeer } from './bgp-peer.ts'
import { Fleet } from './fleet.ts'
import { Node } from './node.ts'
import { Service } from './service.ts'

/** The schema of every kind. */
export const KINDS = { Service, BackendPool, Node, BgpPeer, Fleet } as const
export type Kind = keyof typeof KINDS

/** One document of the repository: `Written` is what a person wrote, `Resource` has every default filled in. */
export const Resource = z.discriminatedUnion('kind', [Service, BackendPool, Node, BgpPeer, Fleet])
export type Resource = z.output<typeof Resource>
export type ResourceWritten = z.input<typeof Resource>
