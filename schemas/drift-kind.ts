import { z } from 'zod'

/** What is wrong with a row, against what is wanted. */
export const DriftKind = z.enum(['missing', 'unexpected', 'changed'])
export type DriftKind = z.infer<typeof DriftKind>
