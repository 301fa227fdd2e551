import { z } from 'zod'

/** The process is alive. */
export const Liveness = z
  .strictObject({ alive: z.literal(true), version: z.string() })
  .meta({ description: 'The process is alive.' })
export type Liveness = z.infer<typeof Liveness>

export const ReadinessCheck = z.strictObject({
  name: z.string(),
  ok: z.boolean(),
  detail: z.string().meta({ description: 'What was found, or what is missing and why.' }),
})
export type ReadinessCheck = z.infer<typeof ReadinessCheck>

export const Readiness = z
  .strictObject({ ready: z.boolean(), checks: z.array(ReadinessCheck) })
  .meta({ description: 'Whether it can do its work, and what is missing.' })
export type Readiness = z.infer<typeof Readiness>
