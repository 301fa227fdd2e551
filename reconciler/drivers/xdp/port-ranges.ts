import { BallastError } from '../../../schemas/ballast-error.ts'
import { decodeAnyPort, encodeServiceKey, PORT_RANGES, type ServiceKey, structs } from './layout.ts'

/** Entries of port_ranges: of one VIP and protocol, all services with more ports than one. */

interface RangedService {
  readonly key: ServiceKey
  /** The index into rings. */
  readonly id: number
}

/** By their key in hex: the entries that these services need, whichever of them have a range of ports. */
export function encodePortRanges(
  services: Iterable<RangedService>,
): Map<string, readonly [key: Buffer, value: Buffer]> {
  const groups = new Map<string, { key: Buffer; ranges: RangedService[] }>()
  for (const service of services) {
    if (service.key.endPort === undefined) continue
    const key = encodeServiceKey({ ...service.key, port: 0 })
    const name = key.toString('hex')
    const group = groups.get(name)
    if (group === undefined) groups.set(name, { key, ranges: [service] })
    else group.ranges.push(service)
  }
  return new Map([...groups].map(([name, { key, ranges }]) => [name, [key, encodeRanges(ranges)]]))
}

/** The narrowest first, as the program takes the first that has the port. */
function encodeRanges(services: readonly RangedService[]): Buffer {
  const [one] = services
  if (services.length > PORT_RANGES) {
    throw new BallastError({
      code: 'XDP_TOO_MANY_RANGES',
      message: `${one!.key.vip} would have ${services.length} ranges of ${one!.key.protocol} ports, and there is room for ${PORT_RANGES}`,
      hint: 'Join ranges, or use another VIP.',
    })
  }
  const { size, fields } = structs.port_ranges
  const value = Buffer.alloc(size)
  value.writeUInt32LE(services.length, fields.used)
  for (const [place, { key, id }] of services.toSorted(byWidth).entries()) {
    const at = fields.ranges + place * structs.port_range.size
    value.writeUInt16LE(key.port, at + structs.port_range.fields.first)
    value.writeUInt16LE(lastPort(key), at + structs.port_range.fields.last)
    value.writeUInt32LE(id, at + structs.port_range.fields.service)
  }
  return value
}

const lastPort = ({ port, endPort }: ServiceKey): number => endPort ?? port
const byWidth = (a: RangedService, b: RangedService): number =>
  lastPort(a.key) - a.key.port - (lastPort(b.key) - b.key.port) || a.key.port - b.key.port

/** The services of an entry; undefined for what is none that Ballast writes. */
export function decodePortRanges(keyBytes: Buffer, value: Buffer): RangedService[] | undefined {
  const key = decodeAnyPort(keyBytes)
  const { fields } = structs.port_ranges
  const used = value.readUInt32LE(fields.used)
  if (key === undefined || key.port !== 0 || used === 0 || used > PORT_RANGES) return undefined
  return Array.from({ length: used }, (_, place) => {
    const at = fields.ranges + place * structs.port_range.size
    return {
      key: {
        ...key,
        port: value.readUInt16LE(at + structs.port_range.fields.first),
        endPort: value.readUInt16LE(at + structs.port_range.fields.last),
      },
      id: value.readUInt32LE(at + structs.port_range.fields.service),
    }
  })
}
