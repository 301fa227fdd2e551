import {
  decodeControl,
  decodeRing,
  encodeIndex,
  encodeServiceKey,
  type Ring,
  structs,
} from '../../../reconciler/drivers/xdp/layout.ts'
import { openMapById, readMapInfo, readProgramInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import { lookupEntry } from '../../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { runProgram } from '../../../reconciler/drivers/xdp/libbpf/test-run.ts'
import { membersIn } from '../../../reconciler/drivers/xdp/members.ts'
import type { NodePins } from '../../../reconciler/drivers/xdp/node-pins.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { addressFromBytes } from '../../../schemas/address.ts'
import type { XdpServiceRow } from '../../../schemas/node-state.ts'
import { buildFrame, ETHERNET_BYTES, type PacketFields } from '../../bpf/packet.ts'

/** What is really in the kernel, read through the pins and not through the driver. */

export interface FoundService {
  readonly id: number
  readonly mapId: number
  readonly ring: Ring
}

export function findService(pins: NodePins, row: XdpServiceRow): FoundService {
  const id = readEntry(pins.map('services'), encodeServiceKey(row), structs.service.size).readUInt32LE()
  const mapId = readEntry(pins.map('rings'), encodeIndex(id), 4).readUInt32LE()
  using map = openMapById(mapId)!
  const bytes = Buffer.alloc(structs.ring.size)
  lookupEntry(map.fd, encodeIndex(0), bytes)
  return { id, mapId, ring: decodeRing(bytes)! }
}

export function readEntry(pin: string, key: Uint8Array, bytes: number): Buffer {
  using map = openPin(pin)
  const value = Buffer.alloc(bytes)
  if (map === undefined || !lookupEntry(map.fd, key, value)) throw new Error(`no such entry in ${pin}`)
  return value
}

export const mapIdOf = (pin: string): number => {
  using map = openPin(pin)
  return readMapInfo(map!.fd).id
}

export const programIdOf = (pins: NodePins): number => {
  using program = openPin(pins.program)
  return readProgramInfo(program!.fd).id
}

/** Members by address. */
export const membersOf = (ring: Ring) =>
  new Map([...membersIn(ring.members)].map(({ address, ...rest }) => [address, rest]))

/** Sends one packet through the pinned program: the backend that it was encapsulated for, or undefined. */
export function sendThrough(pins: NodePins, fields: PacketFields): string | undefined {
  using program = openPin(pins.program)
  const { result, packet } = runProgram(program!.fd, buildFrame(fields))
  const XDP_TX = 3
  if (result !== XDP_TX) return undefined
  const outer = packet.subarray(ETHERNET_BYTES)
  const isIpv6 = outer.readUInt8(0) >> 4 === 6
  return isIpv6
    ? addressFromBytes(outer.subarray(24, 40))
    : addressFromBytes(
        Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), outer.subarray(16, 20)]),
      )
}

/** As somebody would by hand: `bpftool map ...`. Bytes are given as numbers. */
export const bpftool = (...args: readonly (string | Uint8Array)[]) =>
  runCommand(
    'bpftool',
    args.flatMap(arg => (typeof arg === 'string' ? [arg] : [...arg].map(String))),
  )

export const readBucketKey = (controlPin: string): bigint =>
  decodeControl(readEntry(controlPin, encodeIndex(0), structs.control.size)).bucketKey
