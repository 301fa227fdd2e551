import { isUtf8 } from 'node:buffer'
import type { Objects } from './git-objects.ts'
import { LIMITS, type Refuse, refuseBigFile, refuseEncoding, refuseLfs } from './refusals.ts'

/** What a blob holds, or why it is not read. */
export type Content =
  | { readonly kind: 'text'; readonly text: string; readonly size: number }
  | { readonly kind: 'refused'; readonly refuse: Refuse }

/** By blob id. */
export type Contents = ReadonlyMap<string, Content>

/** Bytes that may still be read. */
export interface Budget {
  bytes: number
}

/**
 * The contents of these blobs, as far as they are known from before; the others are read, their sizes first.
 * Null when it is more than the budget. Throws `OBJECT_MISSING` and what reading throws.
 */
export async function readContents(
  objects: Objects,
  oids: Iterable<string>,
  before: Contents,
  budget: Budget,
): Promise<Contents | null> {
  const contents = new Map<string, Content>()
  const fresh: string[] = []
  for (const oid of new Set(oids)) {
    const known = before.get(oid)
    if (known === undefined) fresh.push(oid)
    else contents.set(oid, known)
    if (known?.kind === 'text') budget.bytes -= known.size
  }
  const sizes = await objects.sizes(fresh)
  const small = fresh.filter((_, index) => sizes[index]! <= LIMITS.fileBytes)
  for (const [index, oid] of fresh.entries()) {
    if (sizes[index]! > LIMITS.fileBytes) contents.set(oid, { kind: 'refused', refuse: refuseBigFile })
    else budget.bytes -= sizes[index]!
  }
  if (budget.bytes < 0) return null
  const blobs = await objects.readBlobs(small)
  for (const [index, oid] of small.entries()) contents.set(oid, decode(blobs[index]!))
  return contents
}

/** The first line of every pointer (git-lfs specification); they are shorter than 1,024 bytes. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/'

function decode(bytes: Uint8Array): Content {
  if (!isUtf8(bytes)) return { kind: 'refused', refuse: refuseEncoding }
  const text = new TextDecoder().decode(bytes)
  if (bytes.length < 1024 && text.startsWith(LFS_POINTER)) return { kind: 'refused', refuse: refuseLfs }
  return { kind: 'text', text, size: bytes.length }
}
