import { z } from 'zod'
import { BallastError } from '../../schemas/ballast-error.ts'

/**
 * A value as Redis holds it, checked. Throws `QUEUE_VALUE_UNREADABLE`: it was written by another version of
 * Ballast, or by somebody else.
 */
export function decode<Schema extends z.ZodType>(
  schema: Schema,
  key: string,
  text: string,
): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : 'it is not JSON'
    throw new BallastError({
      code: 'QUEUE_VALUE_UNREADABLE',
      message: `Redis holds something else under ${key} than this version of Ballast writes: ${why}`,
      hint: 'Run the same version of Ballast everywhere, and give it a Redis of its own.',
      cause,
    })
  }
}
