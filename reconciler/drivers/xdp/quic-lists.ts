import { structs } from './layout.ts'
import type { ListCodec } from './lists.ts'
import type { Members } from './members.ts'
import { membersIn } from './members.ts'

/** Server ids in hex digits, by the index of the member; one that two ids name is under the last. */
type ServerIds = Readonly<Record<number, string>>

const ID_BYTES = structs.quic_server_key.size - structs.quic_server_key.fields.server_id

/** The server ids of a ring, in quic_servers. They come back with zeros behind, since the ring says how long they are. */
export const quicCodec: ListCodec<ServerIds> = {
  map: 'quic_servers',
  encode(list, ids) {
    const { size, fields } = structs.quic_server_key
    return Object.entries(ids).map(([index, id]) => {
      const key = Buffer.alloc(size)
      key.writeUInt32LE(list, fields.list)
      key.write(id, fields.server_id, 'hex')
      const value = Buffer.alloc(structs.quic_server.size)
      value.writeUInt32LE(Number(index))
      return [key, value] as const
    })
  },
  listOf: key => key.readUInt32LE(structs.quic_server_key.fields.list),
  decode(entries) {
    const at = structs.quic_server_key.fields.server_id
    return Object.fromEntries(
      entries
        .map(([key, value]) => [value.readUInt32LE(), key.toString('hex', at)] as const)
        .toSorted(([a], [b]) => a - b),
    )
  },
}

/** The ids of a ring's members, padded as they are read back. */
export function serverIdsOf(
  members: Members,
  backends: readonly { readonly address: string; readonly serverId?: string }[],
): ServerIds {
  const ids = new Map(backends.map(({ address, serverId }) => [address, serverId]))
  return Object.fromEntries(
    [...membersIn(members)].flatMap(({ index, address }) => {
      const id = ids.get(address)
      return id === undefined ? [] : [[index, id.padEnd(2 * ID_BYTES, '0')]]
    }),
  )
}
