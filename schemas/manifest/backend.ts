import { z } from 'zod'
import { Address, Labels, Port, Weight } from './fields.ts'
import { Thresholds } from './ipvs.ts'
import { QuicServerId } from './quic.ts'

export const Backend = z
  .strictObject({
    address: Address.describe('Where packets are sent to: an IPv4 or IPv6 address.'),
    port: Port.optional().describe(
      'The port that the backend listens on. nat alone can change it; otherwise it can only repeat the port of the service.',
    ),
    weight: Weight.default(100),
    drain: z
      .boolean()
      .default(false)
      .describe('Gets no new flows; its established ones stay. Take the backend away when they have ended.'),
    quicServerId: QuicServerId.optional(),
    thresholds: Thresholds.optional(),
    labels: Labels.default({}),
  })
  .describe('A server behind a service.')
export type Backend = z.output<typeof Backend>

export const Backends = z.array(Backend).min(1).describe('The servers that share the flows, by weight.')
