import assert from 'node:assert/strict'
import { addressFromBytes } from '../../schemas/address.ts'
import { type Balancer, member, openBalancer, type ServiceFields } from './balancer.ts'
import type { FlowEntry } from './flow-entry.ts'
import { buildFrame, ETHERNET_BYTES, type PacketFields, Tcp } from './packet.ts'

/** Members, packets and a service for tests of flows. */

export const A = member('10.9.0.1', { generation: 1 })
export const B = member('10.9.0.2', { generation: 2, counter: 1 })
export const C = member('10.9.0.3', { generation: 3, counter: 2 })

export const TCP: PacketFields = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.10',
  port: 443,
  protocol: 'tcp',
}
export const UDP: PacketFields = { ...TCP, port: 53, protocol: 'udp' }
export const TCP6: PacketFields = { ...TCP, source: '2001:db8:1::7', vip: '2001:db8:ffff::10' }
export const UDP6: PacketFields = { ...TCP6, port: 53, protocol: 'udp' }

/** A service of A (index 0) and B (index 1), with every slot A's. */
export const serviceOf = (
  { vip, port, protocol }: PacketFields,
  fields: Partial<ServiceFields> = {},
): ServiceFields => ({
  vip,
  port,
  protocol,
  members: [A, B],
  slots: 0,
  ...fields,
})

export const open = (
  packet: PacketFields,
  {
    nearBuckets = 16,
    hasFar = true,
    halfOpenBuckets = 16,
    ...fields
  }: Partial<ServiceFields & TableFields> = {},
) => openBalancer({ services: [serviceOf(packet, fields)], nearBuckets, hasFar, halfOpenBuckets })

interface TableFields {
  readonly nearBuckets: number
  readonly hasFar: boolean
  readonly halfOpenBuckets: number
}

/** The backend that a packet goes to; undefined when it goes nowhere. */
export function send(
  balancer: Balancer,
  packet: PacketFields,
  tcpFlags: number = Tcp.ack,
): string | undefined {
  const { action, frame } = balancer.send(buildFrame({ ...packet, tcpFlags }))
  return action === 'tx'
    ? addressFromBytes(mapped(frame.subarray(ETHERNET_BYTES + 16, ETHERNET_BYTES + 20)))
    : undefined
}

const mapped = (bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), bytes])

/** Of both tables. */
export function onlyFlow(balancer: Balancer): FlowEntry {
  const flows = [...balancer.flows(), ...balancer.halfOpen()]
  assert.equal(flows.length, 1)
  return flows[0]!
}

/** The program's coarse monotonic clock, in its ticks, of 24 bits. */
export const tickNow = (): number => Number((process.hrtime.bigint() >> 30n) & 0xffffffn)
