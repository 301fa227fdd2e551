import { Counter, Gauge } from 'prom-client'
import type { BackendCounters, NodeCounters } from '../../schemas/node-counters.ts'
import type { Metrics } from './registry.ts'

export interface CounterMetrics {
  show(counters: Iterable<NodeCounters>): void
}

/** Services and backends of nodes that are shown; more are left out, and counted. Four series each. */
const SHOWN_AT_MOST = 20_000

/** What the dataplanes count, per service and per backend of it. */
export function createCounterMetrics({ registry }: Metrics, shownAtMost = SHOWN_AT_MOST): CounterMetrics {
  const services = createFamily(registry, 'service', ['node', 'service'])
  const backends = createFamily(registry, 'backend', ['node', 'service', 'backend'])
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const live = gauge('ballast_node_live_flows', 'Entries of the flow table that are live.', 'node')
  const left = gauge('ballast_metrics_left_out', 'Services and backends that there was no room for.')
  return {
    show(counters) {
      services.reset()
      backends.reset()
      live.reset()
      let room = shownAtMost
      let leftOut = 0
      const takeRoom = (): boolean => {
        const fits = room > 0
        if (fits) room--
        else leftOut++
        return fits
      }
      const nodes = [...counters].sort((a, b) => (a.node < b.node ? -1 : 1))
      for (const { node, liveFlows } of nodes) live.set({ node }, liveFlows)
      // Services of all nodes before backends of any: what is left out is the finer grain.
      const rows = nodes.flatMap(({ node, services: byKey }) =>
        Object.entries(byKey).map(([key, members]) => ({
          node,
          service: key.replace(/^service\//, ''),
          members,
        })),
      )
      for (const { node, service, members } of rows) {
        if (takeRoom()) services.add({ node, service }, sumOf(members))
      }
      for (const { node, service, members } of rows) {
        for (const member of members) {
          if (takeRoom()) backends.add({ node, service, backend: member.address }, member)
        }
      }
      left.set(leftOut)
    },
  }
}

type Sums = Omit<BackendCounters, 'address'>

const sumOf = (members: readonly BackendCounters[]): Sums => {
  const sum = (field: keyof Sums): number => members.reduce((total, member) => total + member[field], 0)
  return {
    packets: sum('packets'),
    bytes: sum('bytes'),
    newFlows: sum('newFlows'),
    connections: sum('connections'),
  }
}

/** Counters are read elsewhere: they are set by emptying them first. */
function createFamily(registry: Metrics['registry'], of: string, labelNames: string[]) {
  const registers = [registry]
  const counter = (name: string, help: string) =>
    new Counter({ name: `ballast_${of}_${name}_total`, help, labelNames, registers })
  const packets = counter('packets', `Packets forwarded, by ${of}.`)
  const bytes = counter('bytes', `Bytes of inner IP packets forwarded, by ${of}.`)
  const newFlows = counter('new_flows', `Flows that began, by ${of}.`)
  const connections = new Gauge({
    name: `ballast_${of}_connections`,
    help: `Live flows, by ${of}; of TCP those without FIN or RST.`,
    labelNames,
    registers,
  })
  return {
    reset() {
      for (const each of [packets, bytes, newFlows, connections]) each.reset()
    },
    add(labels: Record<string, string>, sums: Sums) {
      packets.inc(labels, sums.packets)
      bytes.inc(labels, sums.bytes)
      newFlows.inc(labels, sums.newFlows)
      connections.set(labels, sums.connections)
    },
  }
}
