import { createBreather } from '../../process/breather.ts'
import type { OpenMap } from './dataplane.ts'
import { deleteEntries, updateEntries } from './libbpf/maps.ts'

/** All in one call. Entries are made in slices, when they are made as they are asked for. */
export async function writeEntries(
  { fd, info }: OpenMap,
  entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>,
): Promise<void> {
  const breathe = createBreather()
  const keys: Uint8Array[] = []
  const values: Uint8Array[] = []
  for (const [key, value] of entries) {
    keys.push(key)
    values.push(value)
    await breathe()
  }
  await updateEntries(fd, info, {
    count: keys.length,
    keys: Buffer.concat(keys),
    values: Buffer.concat(values),
  })
}

export const deleteKeys = ({ fd, info }: OpenMap, keys: readonly Uint8Array[]): Promise<void> =>
  deleteEntries(fd, info, keys)
