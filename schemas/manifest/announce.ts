import { z } from 'zod'
import { Name, Prefix } from './fields.ts'

const Community = z
  .string()
  .regex(/^(\d{1,5}):(\d{1,5})$/)
  .refine(text => text.split(':').every(part => Number(part) <= 65_535), 'has a number above 65535')
  .meta({ examples: ['64512:100', '65535:65281'] })
  .describe('A community (RFC 1997): two numbers up to 65535 with a colon, in quotes.')

const LargeCommunity = z
  .string()
  .regex(/^(\d{1,10}):(\d{1,10}):(\d{1,10})$/)
  .refine(text => text.split(':').every(part => Number(part) <= 0xffff_ffff), 'has a number above 4294967295')
  .meta({ examples: ['64512:1:100', '4200000000:1:4294967295'] })
  .describe('A large community (RFC 8092): three numbers up to 4294967295 with colons, in quotes.')

const AnnounceSettings = z
  .strictObject({
    peers: z
      .array(Name)
      .min(1)
      .optional()
      .describe('Names of the BgpPeers that get it. Absent: all of the node that serves it.'),
    communities: z.array(Community).default([]).describe('Communities that the route carries.'),
    largeCommunities: z
      .array(LargeCommunity)
      .default([])
      .describe('Large communities that the route carries.'),
    med: z
      .int()
      .min(0)
      .max(0xffff_ffff)
      .optional()
      .describe('The multi-exit discriminator: a router prefers the lowest of routes from one AS.'),
    localPreference: z
      .int()
      .min(0)
      .max(0xffff_ffff)
      .optional()
      .describe('What peers of the same AS prefer by, the highest first. Peers of other ASes do not get it.'),
    prepend: z
      .int()
      .min(0)
      .max(16)
      .default(0)
      .describe('How many times more the AS of the node stands in the path, which makes others preferred.'),
    aggregate: z
      .array(Prefix)
      .min(1)
      .max(2)
      .optional()
      .describe(
        'Prefixes that cover the VIPs and are announced in their place, one of each family. Absent: exactly the VIP.',
      ),
    minHealthyBackends: z
      .int()
      .min(0)
      .max(65_535)
      .default(1)
      .describe('With fewer backends that get new flows the node withdraws it. 0: it never does.'),
  })
  .describe('How the VIPs are announced.')
export type AnnounceSettings = z.output<typeof AnnounceSettings>

/** `true` stands for all of the defaults. */
export const Announce = z
  .union([z.boolean(), AnnounceSettings])
  .transform((written): AnnounceSettings | false => (written === true ? AnnounceSettings.parse({}) : written))
  .describe(
    'Whether and how nodes that serve it announce its VIPs by BGP. true: with the defaults; false or absent: not.',
  )
