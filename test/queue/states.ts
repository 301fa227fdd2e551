import fc from 'fast-check'
import { serviceId } from '../../schemas/address.ts'
import { emptyTables, NODE_STATE_VERSION, NodeState, type XdpServiceRow } from '../../schemas/node-state.ts'
import { interfaceRow, serviceRow, settingsRow } from '../plan/rows.ts'
import { arbitraryOf } from '../schemas/arbitrary-of.ts'

export const arbitraryState = arbitraryOf(NodeState)

/** `services` of them, the same on every node, beside rows of the node's own. */
export function fleetState(
  node: string,
  services: number,
  change: Partial<Record<number, number>> = {},
): NodeState {
  const rows = Array.from({ length: services }, (_, index): [string, XdpServiceRow] => {
    const vip = `203.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
    const row = serviceRow(vip, [{ address: '10.0.0.1', weight: change[index] ?? 100 }])
    return [`service/${serviceId(vip, row.port, row.protocol)}`, row]
  })
  const own = settingsRow({ sources: { ipv4: `10.1.0.${node.length}/32`, ipv6: '' } })
  return {
    version: NODE_STATE_VERSION,
    node,
    tables: {
      ...emptyTables(),
      xdp: { ...Object.fromEntries(rows), settings: own, [`interface/${node}`]: interfaceRow('auto', node) },
    },
  }
}

/** The same state with all of its objects' keys the other way round. */
export const turned = <T>(value: T): T =>
  (Array.isArray(value)
    ? value.map(turned)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .reverse()
            .map(([key, below]) => [key, turned(below)]),
        )
      : value) as T

export const twoStates = fc.tuple(arbitraryState, arbitraryState)
