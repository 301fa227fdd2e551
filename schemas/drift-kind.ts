import { z } from 'zod'

/** What is wrong with a row, against what is wanted. */
export const DriftKind = z.enum(['missing', 'unexpected', 'changed'])
export type DriftKind = z.infer<typeof DriftKind>

/** What is told of: of rows; and of nodes, that somebody works on one, that one is silent, and that one chooses other backends. */
export const RecordKind = z.enum([...DriftKind.options, 'paused', 'unreachable', 'rings-disagree'])
