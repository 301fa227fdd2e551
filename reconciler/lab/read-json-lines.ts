import { createInterface } from 'node:readline'
import type { z } from 'zod'

/** Calls `each` for every line that is a value of the schema; other lines (what a program says in words) go to `other`. */
export function readJsonLines<T>(
  input: NodeJS.ReadableStream,
  schema: z.ZodType<T>,
  on: { readonly each: (value: T) => void; readonly other: (line: string) => void },
): void {
  createInterface({ input }).on('line', line => {
    const parsed = schema.safeParse(parseJson(line))
    if (parsed.success) on.each(parsed.data)
    else on.other(line)
  })
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
