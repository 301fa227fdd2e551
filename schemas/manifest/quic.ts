import { z } from 'zod'

export const ServiceQuic = z
  .strictObject({
    configId: z
      .int()
      .min(0)
      .max(6)
      .default(0)
      .describe('The three highest bits of the first byte of connection ids that name a server: 0 to 6.'),
  })
  .describe(
    'UDP ports are QUIC: a packet with a short header goes to the backend that its connection id names by its quicServerId, whatever address the client has by then.',
  )

export const QuicServerId = z
  .string()
  .regex(/^([0-9a-fA-F]{2}){1,8}$/)
  .transform(text => text.toLowerCase())
  .describe(
    'What names the backend in the QUIC connection ids that it gives out: 1 to 8 bytes in hex digits, in quotes, as many for all backends of a pool.',
  )
