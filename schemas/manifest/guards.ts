import { z } from 'zod'

/** What one revision may take away at most; each is a limit in terms of traffic. */
export const GUARDS = ['backends', 'flows', 'vips', 'announcements', 'minimumHealthy'] as const
export type Guard = (typeof GUARDS)[number]

const Share = z.number().min(0).max(1)

const LIMITS = {
  backends: Share.optional().describe(
    'The largest share of the backends of a service that one revision may take out of service: removed, drained or at weight 0.',
  ),
  flows: Share.optional().describe(
    'The largest share of the flows of a service that may lose their backend: its live connections where nodes say how many, else its share of the ring.',
  ),
  announcements: Share.optional().describe(
    'The largest share of the nodes that serve a VIP that may cease to serve it, while others go on.',
  ),
  minimumHealthy: Share.optional().describe(
    'The smallest share of the backends of a service that must get new flows afterwards.',
  ),
}

/** Of a service; what it says goes before what the Fleet says. Shares are 0 to 1. */
export const ServiceGuards = z
  .strictObject(LIMITS)
  .describe('What one revision may take away from this service at most, in place of what the Fleet says.')
export type ServiceGuards = z.output<typeof ServiceGuards>

export const FleetGuards = z
  .strictObject({
    ...LIMITS,
    vips: Share.optional().describe(
      'The largest share of the VIPs of the fleet that one revision may take away.',
    ),
  })
  .describe('What one revision may take away at most. A revision that would take more is refused.')
export type FleetGuards = z.output<typeof FleetGuards>

/** Before the name of a guard: an annotation of a Service that lets one revision take more. */
export const OVERRIDE_PREFIX = 'override.ballast.dev/'

/** An override of one guard: the size allowed, 0 to 1, and until when, ms since the epoch. */
export interface Override {
  readonly allowed: number
  readonly until: number
}

/** `0.8 until 2026-12-24T18:00:00Z` or `80% until …`; null for anything else. */
export function parseOverride(text: string): Override | null {
  const match =
    /^\s*(\d+(?:\.\d+)?)(%?)\s+until\s+(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))\s*$/.exec(
      text,
    )
  if (match === null) return null
  const allowed = Number(match[1]) / (match[2] === '%' ? 100 : 1)
  const until = Date.parse(match[3]!)
  return allowed <= 1 && Number.isFinite(until) ? { allowed, until } : null
}
