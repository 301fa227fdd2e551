import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { BackendLoad, Impact, LiveImpact } from '../../schemas/plan.ts'
import type { TrafficRecord } from '../../schemas/traffic.ts'
import { peakOf } from './traffic-history.ts'

/** What is known of the traffic that is there. */
export interface LiveTraffic {
  /** By node; those that published lately. */
  readonly counters: ReadonlyMap<string, NodeCounters>
  /** By row of a service. */
  readonly records: ReadonlyMap<RowKey, TrafficRecord>
}

export interface LiveInput {
  readonly key: RowKey
  readonly nodes: readonly string[]
  /** Addresses of the backends that are members afterwards, drained or not. */
  readonly members: ReadonlySet<string>
  readonly impact: Impact
}

/**
 * An established flow keeps its backend while that is a member (rule 3): those of backends that leave are
 * hashed again, and their connections end. Flows are those of the nodes of the change, packets those of all nodes.
 * Null when none of the nodes was counted.
 */
export function measureLive(input: LiveInput, traffic: LiveTraffic): LiveImpact | null {
  const { key, nodes, members } = input
  let [read, flows, ended] = [0, 0, 0]
  for (const node of nodes) {
    const backends = traffic.counters.get(node)?.services[key]
    if (backends === undefined) continue
    read += 1
    for (const { address, connections } of backends) {
      flows += connections
      if (!members.has(address)) ended += connections
    }
  }
  if (read === 0) return null
  const record = traffic.records.get(key)
  return {
    nodes_read: read,
    flows,
    flows_lost: flows === 0 ? 0 : ended / flows,
    connections_ended: ended,
    ...measurePackets(record, members),
    load: record === undefined ? [] : measureLoad(record, input.impact),
  }
}

function measurePackets(record: TrafficRecord | undefined, members: ReadonlySet<string>) {
  if (record === undefined) return { packets_per_second: null, packets_lost: null }
  const rates = Object.entries(record.backends)
  const sum = rates.reduce((total, [, { rate }]) => total + rate, 0)
  const lost = rates.reduce((total, [address, { rate }]) => total + (members.has(address) ? 0 : rate), 0)
  return { packets_per_second: sum, packets_lost: sum === 0 ? 0 : Math.min(1, lost / sum) }
}

/** Once flows have followed the shares. A backend that never had traffic has nothing to be compared with. */
function measureLoad({ total, backends }: TrafficRecord, { backends: shares }: Impact): BackendLoad[] {
  return shares
    .filter(({ share_before, share_after }) => share_before > 0 && share_after > 0)
    .map(({ address, share_after }) => {
      const known = backends[address]
      const peak = known === undefined ? 0 : peakOf(known)
      if (peak === 0) return { address, now: null, at_peak: null }
      return {
        address,
        now: (total.rate * share_after) / peak,
        at_peak: (peakOf(total) * share_after) / peak,
      }
    })
}
