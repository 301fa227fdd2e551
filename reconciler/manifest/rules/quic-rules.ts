import type { Rule } from './rule.ts'

const quicUdp: Rule = {
  id: 'quic-udp',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services)
      if (service.spec.quic !== undefined && service.spec.ports.every(({ protocol }) => protocol !== 'udp'))
        yield {
          at: service.locate(['spec', 'quic']),
          message: `Service ${service.metadata.name} has quic and no UDP port.`,
          hint: 'Add a port with protocol: udp, or remove quic.',
        }
  },
}

const quicServerIdMissing: Rule = {
  id: 'quic-server-id-missing',
  severity: 'error',
  local: true,
  *check({ services, backendsOf }) {
    for (const service of services) {
      const set = service.spec.quic === undefined ? null : backendsOf(service)
      const backend = set?.backends.find(({ quicServerId }) => quicServerId === undefined)
      if (backend === undefined) continue
      yield {
        at: service.locate(['spec', 'quic']),
        message: `Service ${service.metadata.name} has quic, and its backend ${backend.address} no quicServerId: clients that change their address would be lost.`,
        hint: 'Give every backend a quicServerId, the one that its server is configured with.',
      }
    }
  },
}

const quicServerIdUnique: Rule = {
  id: 'quic-server-id-unique',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets) {
      const seen = new Map<string, string>()
      for (const [index, { address, quicServerId }] of backends.entries()) {
        if (quicServerId === undefined) continue
        const other = seen.get(quicServerId)
        if (other !== undefined)
          yield {
            at: owner.locate(['spec', 'backends', index, 'quicServerId']),
            message: `The backends ${other} and ${address} have the quicServerId ${quicServerId}.`,
            hint: 'Give each of them one of its own, as in the configuration of its server.',
          }
        seen.set(quicServerId, address)
      }
    }
  },
}

const quicServerIdLength: Rule = {
  id: 'quic-server-id-length',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets) {
      const first = backends.find(({ quicServerId }) => quicServerId !== undefined)
      for (const [index, { address, quicServerId }] of backends.entries())
        if (quicServerId !== undefined && quicServerId.length !== first!.quicServerId!.length)
          yield {
            at: owner.locate(['spec', 'backends', index, 'quicServerId']),
            message: `The quicServerId of ${address} has ${quicServerId.length / 2} bytes, that of ${first!.address} ${first!.quicServerId!.length / 2}.`,
            hint: 'Give all of them the same length: a connection id does not say how long its server id is.',
          }
    }
  },
}

export const quicRules: readonly Rule[] = [
  quicUdp,
  quicServerIdMissing,
  quicServerIdUnique,
  quicServerIdLength,
]
