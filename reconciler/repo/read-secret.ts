import { readFile } from 'node:fs/promises'
import { BallastError } from '../../schemas/ballast-error.ts'

/** The text of a file without the line feed at its end. Throws `SECRET_UNREADABLE`. */
export async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadable(file, (cause as Error).message, cause)
  })
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '') throw unreadable(file, 'it is empty')
  return secret
}

export const unreadable = (file: string, why: string, cause?: unknown): BallastError =>
  new BallastError({
    code: 'SECRET_UNREADABLE',
    message: `${file} cannot be used: ${why}`,
    hint: 'The file must be readable by the user that Ballast runs as; it is read again at every try.',
    retryable: true,
    cause,
  })
