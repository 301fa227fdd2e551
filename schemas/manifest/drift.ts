import { z } from 'zod'
import { DriftKind } from '../drift-kind.ts'

const Duration = z.string().regex(/^[1-9]\d{0,4}[smh]$/)

const Action = z.union([
  z.enum(['repair', 'hold']),
  z
    .strictObject({
      repairAfter: Duration.describe('How long drift must last before it is put right: 90s, 5m, 2h.'),
    })
    .describe('Puts drift right when it has lasted for a while.'),
])

export type ActionWritten = z.output<typeof Action>

export const DriftAction = Action.describe(
  'What a node does when its tables differ from Git without a push. repair: puts them right; hold: only reports; repairAfter: puts them right when they have differed for so long.',
)

export const DriftByKind = z
  .partialRecord(DriftKind, Action)
  .optional()
  .describe('The same for kinds of drift: missing, unexpected, changed, and others. It comes before drift.')
