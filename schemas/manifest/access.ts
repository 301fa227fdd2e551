import { z } from 'zod'
import { Prefix } from './fields.ts'

const Prefixes = z.array(Prefix).min(1).max(10_000)

export const ServiceAccess = z
  .strictObject({
    allow: Prefixes.optional().describe(
      'Source prefixes that are let in. Where there are any, all others are not.',
    ),
    deny: Prefixes.optional().describe('Source prefixes that are not let in.'),
  })
  .describe(
    'Which sources the service takes packets from. Of all prefixes that hold a source, the longest decides.',
  )

const ofSources = 'Sources with the same first bits count as one.'

export const ServiceFlowLimit = z
  .strictObject({
    perSecond: z.int().min(1).max(1_000_000).describe('New flows per second, of one source prefix.'),
    burst: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('New flows at once, after a pause: as many as in one second, unless given.'),
    ipv4PrefixLength: z.int().min(0).max(32).default(32).describe(ofSources),
    ipv6PrefixLength: z.int().min(0).max(128).default(64).describe(ofSources),
  })
  .describe(
    'How many new flows the service takes from one source prefix, on each node: SYNs, and first packets of UDP flows. Others are dropped.',
  )
