/** One entry of a tree object. */
export interface TreeEntry {
  readonly kind: 'file' | 'folder' | 'symlink' | 'submodule'
  /** Without what is above it; U+FFFD stands for bytes that are not UTF-8. */
  readonly name: string
  readonly oid: string
}

/** Reads objects by id, in the order that they are asked for. */
export interface ObjectReader {
  readTrees(oids: readonly string[]): Promise<TreeEntry[][]>
  readBlobs(oids: readonly string[]): Promise<Uint8Array[]>
}

/** Of a tree entry's mode, in octal (gitformat-index(5) lists them). */
export function entryKind(mode: string): TreeEntry['kind'] {
  switch (mode.replace(/^0/, '')) {
    case '40000':
      return 'folder'
    case '120000':
      return 'symlink'
    case '160000':
      return 'submodule'
    default:
      return 'file'
  }
}
