import type { XdpServiceRow } from '../../../schemas/node-state.ts'
import { accessCodec } from './access-lists.ts'
import type { Dataplane } from './dataplane.ts'
import type { Ring } from './layout.ts'
import { createListWriter } from './lists.ts'
import type { Members } from './members.ts'
import { quicCodec, serverIdsOf } from './quic-lists.ts'
import type { RingStore } from './ring-store.ts'
import { namedLists, type Tables } from './tables.ts'

/** What services have beside backends, as their rings say it, with the lists that these name. */
export interface FeatureWriter {
  featuresOf(row: XdpServiceRow, members: Members): Pick<Ring, 'access' | 'flowLimit' | 'quic' | 'handover'>
  /** Before a ring with any of them is installed. */
  commit(): Promise<void>
}

export function createFeatureWriter(
  { dataplane: { maps }, store }: { dataplane: Pick<Dataplane, 'maps'>; store: RingStore },
  tables: Tables,
): FeatureWriter {
  let lists: ReturnType<typeof createLists> | undefined
  /** Only for who has lists every ring is looked at. */
  const createLists = () => {
    const named = namedLists(tables.services.values(), tables, store)
    return {
      access: createListWriter(maps, accessCodec, { present: tables.accessLists, named: named.access }),
      quic: createListWriter(maps, quicCodec, { present: tables.serverIds, named: named.quic }),
    }
  }
  const open = () => {
    lists ??= createLists()
    return lists
  }
  return {
    featuresOf(row, members) {
      const ids = row.backends.flatMap(({ serverId }) => serverId ?? [])
      return {
        ...(row.access && {
          access: {
            list: open().access.numberOf({ allow: row.access.allow, deny: row.access.deny }),
            otherwise: row.access.otherwise,
          },
        }),
        ...(row.flowLimit && { flowLimit: row.flowLimit }),
        ...(row.handover && { handover: row.handover }),
        ...(row.quic && {
          quic: {
            list: open().quic.numberOf(serverIdsOf(members, row.backends)),
            configId: row.quic.configId,
            idBytes: (ids[0]?.length ?? 2) / 2,
          },
        }),
      }
    },
    async commit() {
      await lists?.access.commit()
      await lists?.quic.commit()
    },
  }
}
