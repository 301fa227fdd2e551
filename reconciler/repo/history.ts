import { isUtf8 } from 'node:buffer'
import type { Revision } from '../../schemas/want.ts'
import type { Objects } from './git-objects.ts'

/** What people know a commit by. */
export interface Description {
  readonly revision: Revision
  /** The first paragraph of its message, on one line. */
  readonly subject: string
  /** `Ada <ada@example.org>` */
  readonly author: string
  /** When it was committed, ms since the epoch. */
  readonly at: number
}

/** A push is seldom longer; git walks a long history quicker than it can be asked for here. */
const COMMITS = 32

/** Whether one commit is the other, or among the first of its ancestors. False: not found so, which git can tell from no. */
export async function isAmongParents(
  objects: Objects,
  ancestor: Revision,
  descendant: Revision,
): Promise<boolean> {
  const seen = new Set<Revision>()
  for (let level = [descendant]; level.length > 0 && seen.size < COMMITS; ) {
    for (const revision of level) seen.add(revision)
    // Of a shallow clone, or a commit that is not there at all.
    const commits = await objects.readCommits(level).catch(() => null)
    if (commits === null) return false
    if (seen.has(ancestor)) return true
    level = [...new Set(commits.flatMap(parentsOf))].filter(parent => !seen.has(parent))
  }
  return false
}

/** Null: only git can tell (another encoding, an odd name), or there is no such commit. */
export async function describeCommit(objects: Objects, revision: Revision): Promise<Description | null> {
  const [bytes] = (await objects.readCommits([revision]).catch(() => null)) ?? []
  if (bytes === undefined || !isUtf8(bytes)) return null
  const text = Buffer.from(bytes).toString()
  const end = text.indexOf('\n\n')
  if (end < 0) return null
  const headers = text.slice(0, end)
  if (/^encoding /m.test(headers) || text.includes('\0')) return null
  const author = /^author ([^\s<>](?:[^<>\n]*[^\s<>])? <[^\s<>]*>) \d+ [+-]\d{4}$/m.exec(headers)?.[1]
  const seconds = /^committer .*> (\d+) [+-]\d{4}$/m.exec(headers)?.[1]
  if (author === undefined || seconds === undefined) return null
  return { revision, subject: subjectOf(text.slice(end + 2)), author, at: Number(seconds) * 1000 }
}

/** As `%s` of git-log(1). */
function subjectOf(message: string): string {
  const lines = message.split('\n').map(line => line.replace(/[ \t\r]+$/, ''))
  const first = lines.findIndex(line => line !== '')
  if (first < 0) return ''
  const paragraph = lines.slice(first)
  const end = paragraph.indexOf('')
  return paragraph.slice(0, end < 0 ? paragraph.length : end).join(' ')
}

/** Headers are ASCII but for names. */
function parentsOf(commit: Uint8Array): Revision[] {
  const text = Buffer.from(commit.buffer, commit.byteOffset, commit.byteLength).toString('latin1')
  const headers = text.slice(0, Math.max(0, text.indexOf('\n\n')))
  return Array.from(headers.matchAll(/^parent ([0-9a-f]{40,64})$/gm), ([, id]) => id!)
}
