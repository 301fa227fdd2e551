import { join } from 'node:path'
import { attachInMode, requireInterface } from '../apply-interfaces.ts'
import { encodeIndex } from '../layout.ts'
import { findLoadedVariable } from '../libbpf/btf.ts'
import type { Descriptor } from '../libbpf/descriptor.ts'
import { openMapById, readLinkInfo, readMapInfo, readProgramInfo } from '../libbpf/info.ts'
import { detachLink, queryXdp, updateLink } from '../libbpf/links.ts'
import { lookupEntry, readEntries, updateEntries } from '../libbpf/maps.ts'
import { type BpfObject, openObject } from '../libbpf/object.ts'
import {
  listPins,
  mountBpfFileSystem,
  nameOfPin,
  openPin,
  pinName,
  repinObject,
  unpinAll,
} from '../libbpf/pins.ts'
import { readCounters } from '../member-counters.ts'
import { type DecapReason, decapReasons, decapStructs, decodePrefix, encodePrefix } from './decap-layout.ts'

/** What a backend takes the outer headers off, on one interface. */
export interface DecapSettings {
  /** Addresses or prefixes that inner packets may be for. */
  readonly vips: readonly string[]
  /** Addresses or prefixes that outer packets may come from. */
  readonly allowed: readonly string[]
  readonly guePort: number
}

export interface DecapStatus extends DecapSettings {
  readonly interface: string
  /** `none`: the interface is gone, or somebody detached it. */
  readonly mode: 'native' | 'generic' | 'none'
  readonly counters: Readonly<Record<DecapReason, { packets: number; bytes: number }>>
}

interface DecapPlace {
  /** A BPF file system, mounted there when it is none. */
  readonly bpffs: string
  readonly interface: string
}

const PROGRAM = 'decap'
const MAPS = ['vips', 'allowed', 'decap_counters'] as const
const FOLDER = 'ballast-decap'

const folderOf = ({ bpffs, interface: name }: DecapPlace): string => join(bpffs, FOLDER, pinName(name))

/**
 * Attaches the decapsulator to an interface or, where it is already, puts one with other settings in its place
 * between two packets; what was counted stays. Native where the driver can. Needs root.
 */
export async function attachDecap(
  objectFile: string,
  place: DecapPlace,
  { vips, allowed, guePort }: DecapSettings,
): Promise<void> {
  const index = requireInterface(place.interface)
  mountBpfFileSystem(place.bpffs)
  const folder = folderOf(place)
  const port = Buffer.alloc(2)
  port.writeUInt16LE(guePort)
  using object = openObject(objectFile, PROGRAM)
  object.setConstant('gue_port', port)
  using counters = openPin(join(folder, 'decap_counters'))
  if (counters !== undefined) object.reuseMap('decap_counters', counters.fd)
  object.setMaxEntries('vips', Math.max(1, vips.length))
  object.setMaxEntries('allowed', Math.max(1, allowed.length))
  await object.load()
  await fillPrefixes(object, 'vips', vips)
  await fillPrefixes(object, 'allowed', allowed)

  const program = object.programFd(PROGRAM)
  using link = openPin(join(folder, 'link'))
  const attached = link !== undefined && readLinkInfo(link.fd).ifindex === index
  if (attached) updateLink(link.fd, program)
  else {
    using made: Descriptor = attachInMode(program, place.interface, index, ['native', 'generic'])
    repinObject(made.fd, join(folder, 'link'))
  }
  repinObject(program, join(folder, 'prog'))
  for (const name of MAPS) repinObject(object.mapFd(name), join(folder, name))
}

/** False when it was not there. */
export function detachDecap(place: DecapPlace): boolean {
  const folder = folderOf(place)
  using link = openPin(join(folder, 'link'))
  if (link !== undefined && readLinkInfo(link.fd).ifindex !== 0) detachLink(link.fd)
  unpinAll(folder)
  return link !== undefined
}

/** Every interface that has one. */
export async function readDecap(bpffs: string): Promise<DecapStatus[]> {
  const found: DecapStatus[] = []
  for (const pin of listPins(join(bpffs, FOLDER))) {
    const place = { bpffs, interface: nameOfPin(pin) }
    const status = await readOne(place)
    if (status !== undefined) found.push(status)
  }
  return found
}

async function readOne(place: DecapPlace): Promise<DecapStatus | undefined> {
  const folder = folderOf(place)
  using stack = new DisposableStack()
  const open = (name: string) => {
    const pin = openPin(join(folder, name))
    return pin === undefined ? undefined : stack.use(pin)
  }
  const [link, program, vips, allowed, counters] = ['link', 'prog', ...MAPS].map(open)
  if (!link || !program || !vips || !allowed || !counters) return undefined
  const { ifindex, programId } = readLinkInfo(link.fd)
  const attached = ifindex === 0 ? undefined : queryXdp(ifindex)
  const isOurs = attached !== undefined && attached.programId === programId
  const map = { fd: counters.fd, info: readMapInfo(counters.fd) }
  return {
    interface: place.interface,
    mode: !isOurs ? 'none' : attached.mode === 'generic' ? 'generic' : 'native',
    vips: await readPrefixes(vips.fd),
    allowed: await readPrefixes(allowed.fd),
    guePort: readGuePort(program.fd),
    counters: Object.fromEntries(
      decapReasons.map((reason, value) => {
        const [packets = 0, bytes = 0] = readCounters(map, value) ?? []
        return [reason, { packets, bytes }]
      }),
    ) as DecapStatus['counters'],
  }
}

async function fillPrefixes(object: BpfObject, map: 'vips' | 'allowed', prefixes: readonly string[]) {
  const fd = object.mapFd(map)
  const keys = prefixes.map(encodePrefix)
  await updateEntries(fd, readMapInfo(fd), {
    count: keys.length,
    keys: Buffer.concat(keys),
    values: Buffer.concat(keys.map(() => encodeIndex(1))),
  })
}

async function readPrefixes(fd: number): Promise<string[]> {
  const { size } = decapStructs.prefix
  const { keys, count } = await readEntries(fd, readMapInfo(fd))
  return Array.from({ length: count }, (_, i) => decodePrefix(keys.subarray(i * size, (i + 1) * size))).sort()
}

/** A constant of the loaded program. */
function readGuePort(program: number): number {
  const { btfId, mapIds } = readProgramInfo(program)
  const place = findLoadedVariable(btfId, '.rodata', 'gue_port')
  for (const id of mapIds) {
    using map = openMapById(id)
    if (map === undefined || place === undefined) continue
    const { name, valueSize } = readMapInfo(map.fd)
    const section = Buffer.alloc(valueSize)
    if (name.endsWith('.rodata') && lookupEntry(map.fd, encodeIndex(0), section))
      return section.readUInt16LE(place.offset)
  }
  return 0
}
