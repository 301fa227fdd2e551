import type { ParsedText } from './parse-text.ts'

/** What the texts of earlier revisions held, by blob id. Holds the last two trees, so that a revert is quick too. */
export interface ManifestCache {
  has(id: string): boolean
  get(id: string): ParsedText | undefined
  /** Also fills it from elsewhere: a parse on another thread, for instance. */
  set(id: string, parsed: ParsedText): void
  /** Called when a tree is begun: forgets what neither it nor the one before it asks for. */
  beginTree(): void
}

export function createManifestCache(): ManifestCache {
  let before = new Map<string, ParsedText>()
  let now = new Map<string, ParsedText>()
  return {
    has: id => now.has(id) || before.has(id),
    get(id) {
      const parsed = now.get(id) ?? before.get(id)
      if (parsed !== undefined) now.set(id, parsed)
      return parsed
    },
    set(id, parsed) {
      now.set(id, parsed)
    },
    beginTree() {
      before = now
      now = new Map()
    },
  }
}
