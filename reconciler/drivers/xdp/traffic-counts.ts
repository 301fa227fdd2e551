import type { TrafficCounts } from '../../../schemas/traffic-counts.ts'
import type { reasons } from './layout.ts'

type Reason = (typeof reasons)[number]
export type ReasonPackets = Readonly<Partial<Record<Reason, { readonly packets: number }>>>

/** Reasons for which a packet of a VIP goes nowhere, through no fault of its own. */
const DROPS = [
  'drop_no_backend',
  'drop_no_source',
  'drop_no_route',
  'drop_no_next_hop',
  'drop_too_big',
  'drop_unmatched',
] as const
const FAILED_FLOWS = ['drop_no_backend', 'drop_no_source', 'drop_no_route', 'drop_no_next_hop'] as const
const FORWARDED = ['forwarded_flow', 'forwarded_ring', 'forwarded_untracked'] as const
const NEW_FLOWS = ['forwarded_ring', 'forwarded_untracked'] as const

/** What gates of a rollout go by. Answers do not come by here: who goes on after a SYN was answered. */
export function trafficOf(counted: ReasonPackets): TrafficCounts {
  const packetsOf = (...names: readonly Reason[]): number =>
    names.reduce((total, name) => total + (counted[name]?.packets ?? 0), 0)
  const dropped = packetsOf(...DROPS)
  const failedFlows = packetsOf(...FAILED_FLOWS)
  return {
    packets: packetsOf(...FORWARDED) + dropped,
    dropped,
    reset: packetsOf('flow_rehashed'),
    newFlows: packetsOf(...NEW_FLOWS) + failedFlows,
    failedFlows,
    // Counters are read one after the other, while packets come. Of a SYN that was displaced, no answer is seen.
    opened: Math.max(0, packetsOf('forwarded_ring') - packetsOf('flow_midway', 'syn_evicted')),
    answered: packetsOf('flow_confirmed'),
  }
}
