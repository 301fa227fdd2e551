import type { OpenMap } from './dataplane.ts'
import { deleteEntries, updateEntries } from './libbpf/maps.ts'

export async function writeEntries(
  { fd, info }: OpenMap,
  entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[],
): Promise<void> {
  await updateEntries(fd, info, {
    count: entries.length,
    keys: Buffer.concat(entries.map(([key]) => key)),
    values: Buffer.concat(entries.map(([, value]) => value)),
  })
}

export const deleteKeys = ({ fd, info }: OpenMap, keys: readonly Uint8Array[]): Promise<void> =>
  deleteEntries(fd, info, keys)
