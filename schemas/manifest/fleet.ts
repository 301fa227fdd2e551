import { z } from 'zod'
import { DriftAction, DriftByKind } from './drift.ts'
import { Prefix } from './fields.ts'
import { FleetGuards } from './guards.ts'
import { ApiVersion, Metadata } from './metadata.ts'
import { FreezeWindow, RolloutStrategy } from './rollout.ts'

const VipPrefix = z
  .strictObject({
    prefix: Prefix.describe('VIPs inside it may be claimed.'),
    paths: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        'By services in these files only: folders or patterns as in .gitignore, from the root of the repository. Absent: by any file.',
      ),
  })
  .describe('A prefix of VIPs and who may claim them.')

const FleetSpec = z.strictObject({
  vipPrefixes: z
    .array(VipPrefix)
    .default([])
    .describe(
      'Which VIPs services may claim. The longest prefix that holds a VIP decides. Empty or absent: any.',
    ),
  fleetKey: z
    .strictObject({
      fingerprint: z
        .string()
        .regex(/^[0-9a-f]{16}$/)
        .describe('The first 16 hexadecimal digits of SHA-256 of the key, in lower case.'),
    })
    .optional()
    .describe(
      'The secret key of the hash that chooses backends, by its fingerprint: nodes without that key refuse. Absent: the key is made from the name of the fleet, and whoever knows the name can aim all of their flows at one backend.',
    ),
  drift: DriftAction.default('repair'),
  driftByKind: DriftByKind,
  requireReviewedPlan: z
    .enum(['never', 'risky', 'always'])
    .default('never')
    .describe(
      'Which revisions are taken only if their plan was recorded for a review: never, risky (those with a risk of medium or high severity), always. The policy of the revision that is accepted decides.',
    ),
  guards: FleetGuards.optional(),
  rollout: RolloutStrategy.optional(),
  freeze: z
    .array(FreezeWindow)
    .max(100)
    .optional()
    .describe('When nodes may change, or may not. Empty or absent: at any time.'),
})

/** What holds for all nodes. There is exactly one. */
export const Fleet = z
  .strictObject({
    apiVersion: ApiVersion,
    kind: z.literal('Fleet').describe('What holds for all nodes. There is exactly one.'),
    metadata: Metadata,
    spec: FleetSpec.prefault({}),
  })
  .describe('What holds for all nodes. There is exactly one.')
export type Fleet = z.output<typeof Fleet>
