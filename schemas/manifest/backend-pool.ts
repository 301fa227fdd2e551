import { z } from 'zod'
import { Backends } from './backend.ts'
import { ApiVersion, Metadata } from './metadata.ts'

/** Backends that several services share by naming the pool. */
export const BackendPool = z
  .strictObject({
    apiVersion: ApiVersion,
    kind: z.literal('BackendPool').describe('Backends that several services share.'),
    metadata: Metadata,
    spec: z.strictObject({ backends: Backends }),
  })
  .describe('Backends that several services share by naming the pool.')
export type BackendPool = z.output<typeof BackendPool>
