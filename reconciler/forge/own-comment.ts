import { BallastError } from '../../schemas/ballast-error.ts'

export interface FoundComment {
  readonly id: number
  readonly body: string
  /** What the forge says of who wrote it. */
  readonly author: Author
}

export interface Author {
  readonly id: number | undefined
  readonly isBot: boolean
}

interface CommentCalls {
  /** In their order; no more of them are asked for than are looked at. */
  readonly list: () => AsyncIterable<FoundComment>
  readonly create: () => Promise<unknown>
  readonly edit: (id: number) => Promise<unknown>
  /** Whose the token is; asked only when there is a comment with the marker. */
  readonly whoAmI: () => Promise<number | undefined>
  /** Whether a comment may be ours where the forge does not tell a token whose it is. */
  readonly mayBeOurs: (author: Author) => boolean
}

/**
 * Edits our own comment that begins with the marker, or makes one. That of somebody else is let be: its author could
 * edit it after us, and who quotes ours must not lose what they wrote.
 */
export async function putOwnComment(marker: string, calls: CommentCalls): Promise<void> {
  let me: Promise<number | undefined> | undefined
  for await (const { id, body, author } of calls.list()) {
    if (!body.trimStart().startsWith(marker)) continue
    me ??= calls.whoAmI().catch(refusedAs(undefined))
    const known = await me
    const isOurs = known === undefined ? calls.mayBeOurs(author) : author.id === known
    // One that somebody deleted meanwhile, or that we may not edit after all, is no reason to say nothing.
    if (isOurs && (await calls.edit(id).then(() => true, refusedAs(false)))) return
  }
  await calls.create()
}

const refusedAs =
  <Value>(value: Value) =>
  (error: unknown): Value => {
    if (error instanceof BallastError && error.code === 'FORGE_UNAUTHORIZED') return value
    throw error
  }
