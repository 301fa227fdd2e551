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
  readonly list: () => Promise<readonly FoundComment[]>
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
  const marked = (await calls.list()).filter(({ body }) => body.trimStart().startsWith(marker))
  if (marked.length > 0) {
    const me = await calls.whoAmI().catch(refusedAs(undefined))
    const isOurs = ({ author }: FoundComment): boolean =>
      me === undefined ? calls.mayBeOurs(author) : author.id === me
    for (const { id } of marked.filter(isOurs)) {
      // One that somebody deleted meanwhile, or that we may not edit after all, is no reason to say nothing.
      const isDone = await calls.edit(id).then(() => true, refusedAs(false))
      if (isDone) return
    }
  }
  await calls.create()
}

const refusedAs =
  <Value>(value: Value) =>
  (error: unknown): Value => {
    if (error instanceof BallastError && error.code === 'FORGE_UNAUTHORIZED') return value
    throw error
  }
