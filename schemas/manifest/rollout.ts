import { z } from 'zod'
import { Address, Port } from './fields.ts'
import { NodeSelector } from './service.ts'

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const

/** A whole number with its unit; `durationMs` reads it. */
const Duration = z
  .string()
  .regex(/^(0|[1-9]\d{0,4})[smhd]$/)
  .describe('A time: a whole number and its unit, s, m, h or d.')

/** ms of what `Duration` takes. */
export const durationMs = (text: string): number =>
  Number(text.slice(0, -1)) * UNITS[text.at(-1) as keyof typeof UNITS] * 1000

const Excess = z.number().min(0).max(1)

const Probe = z
  .strictObject({
    address: Address.describe('Where to connect to; a VIP, as a rule.'),
    port: Port,
  })
  .describe('A TCP connection that the reconciler opens, again and again, while a rollout is under way.')

export const Gates = z
  .strictObject({
    applyFailures: z
      .int()
      .min(0)
      .default(0)
      .describe('Nodes that may fail to apply the revision, or not answer in time.'),
    drops: Excess.default(0.01).describe(
      'By how much the share of packets that are dropped may be larger on changed nodes than on unchanged ones.',
    ),
    resets: Excess.default(0.01).describe(
      'By how much the share of packets of established flows that lose their backend may be larger.',
    ),
    newFlowFailures: Excess.default(0.01).describe(
      'By how much the share of new flows that find no backend may be larger.',
    ),
    probes: z
      .array(Probe)
      .max(16)
      .default([])
      .describe('Connections that must succeed; three failures in a row close the gate. None: no probes.'),
  })
  .describe('What must hold for the rollout to go on; shares are 0 to 1.')

/** How a revision reaches the nodes: wave after wave, with gates between them. */
export const RolloutStrategy = z
  .strictObject({
    canary: NodeSelector.optional().describe('The nodes of the first wave. Absent: the first step.'),
    steps: z
      .array(z.int().min(1).max(99))
      .max(20)
      .default([])
      .describe('Waves after the canary: percentages of all nodes, growing. The last wave is the fleet.'),
    bake: Duration.default('5m').describe('How long a wave must go well, all of its nodes changed.'),
    maxInChange: z
      .int()
      .min(1)
      .default(1)
      .describe('How many nodes that serve one VIP may be in change at a time.'),
    deadline: Duration.default('2m').describe('How long a node may take to apply the revision.'),
    gates: Gates.prefault({}),
    onFailure: z
      .enum(['stop', 'revert', 'review'])
      .default('stop')
      .describe(
        'What a failed gate does besides putting the changed nodes back. stop: nothing; revert: pushes a commit that reverts the revision; review: pushes it to a branch of its own, for a review.',
      ),
  })
  .describe('How a revision reaches the nodes: in waves, with gates between them. Absent: all at once.')
export type RolloutStrategy = z.output<typeof RolloutStrategy>

export const FreezeWindow = z
  .strictObject({
    mode: z
      .enum(['deny', 'allow'])
      .describe('deny: nothing changes inside the window; allow: nothing changes outside of the windows.'),
    schedule: z
      .string()
      .min(9)
      .max(200)
      .meta({ examples: ['0 18 * * FRI', '30 9 1 1 *'] })
      .describe('When it begins: minute, hour, day of the month, month, day of the week, as in cron.'),
    duration: Duration.describe('How long it lasts.'),
    timeZone: z
      .string()
      .min(1)
      .max(64)
      .default('UTC')
      .meta({ examples: ['UTC', 'Europe/Berlin'] })
      .describe('The time zone of the schedule, by its IANA name.'),
    nodes: NodeSelector.optional().describe('The nodes that it is about. Absent: the fleet.'),
    reason: z.string().max(200).optional().describe('Why, for people.'),
  })
  .describe('When nodes may change, or may not.')
export type FreezeWindow = z.output<typeof FreezeWindow>
