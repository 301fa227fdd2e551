import type { XdpServiceRow } from '../../../schemas/node-state.ts'
import type { KnownRing } from './ring-store.ts'
import type { Tables } from './tables.ts'

/** A ring says which lists its service has, and these are in maps of their own, where anybody may have written. */

/** The same row for the same content, since who compares rows looks at which object they are first. */
const completed = new WeakMap<KnownRing, { readonly lists: string; readonly row: XdpServiceRow }>()

const NO_PREFIXES = { allow: [], deny: [] } as const

/** The row of a service, with what the lists of its ring hold. */
export function completeRow(
  ring: KnownRing,
  { accessLists, serverIds }: Pick<Tables, 'accessLists' | 'serverIds'>,
): XdpServiceRow {
  const { access, quic, members, row } = ring
  if (access === undefined && quic === undefined) return row
  const { allow, deny } = (access && accessLists.get(access.list)) ?? NO_PREFIXES
  const ids = (quic && serverIds.get(quic.list)) ?? {}
  const lists = JSON.stringify([allow, deny, ids])
  const known = completed.get(ring)
  if (known?.lists === lists) return known.row

  const idOf = new Map(
    members.flatMap((member, index) => {
      const id = ids[index]
      return member === undefined || id === undefined ? [] : [[member.address, id] as const]
    }),
  )
  const complete: XdpServiceRow = {
    ...row,
    ...(access && { access: { otherwise: access.otherwise, allow: [...allow], deny: [...deny] } }),
    ...(quic && {
      quic: { configId: quic.configId },
      backends: row.backends.map(backend => {
        const serverId = idOf.get(backend.address)?.slice(0, 2 * quic.idBytes)
        return serverId === undefined ? backend : { ...backend, serverId }
      }),
    }),
  }
  completed.set(ring, { lists, row: complete })
  return complete
}
