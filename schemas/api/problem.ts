import { z } from 'zod'

/** Why a request was not done (RFC 9457, `application/problem+json`). */
export const Problem = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string().meta({ description: 'The words of the status code.' }),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'What is wrong and what to do about it, for people.' }),
    code: z.string().meta({ description: 'The same for programs; stable: `TOKEN_MISSING`.' }),
  })
  .meta({ description: 'Why a request was not done (RFC 9457).' })
export type Problem = z.infer<typeof Problem>
