import { BallastError } from '../../../schemas/ballast-error.ts'
import { decodeConfig, type ProgramConfig } from './config.ts'
import { type Control, decodeControl, encodeIndex, LAYOUT_VERSION, structs } from './layout.ts'
import { findLoadedVariable } from './libbpf/btf.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import {
  type MapInfo,
  openMapById,
  openProgramById,
  type ProgramInfo,
  readLinkInfo,
  readMapInfo,
  readProgramInfo,
} from './libbpf/info.ts'
import { LINK_TYPE_XDP } from './libbpf/links.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { listPins, nameOfPin, openPin } from './libbpf/pins.ts'
import type { NodePins } from './node-pins.ts'

export const PROGRAM_NAME = 'lb'

const FIRST_MAP_NAMES = [
  'vips',
  'services',
  'port_ranges',
  'rings',
  'access_prefixes',
  'quic_servers',
  'flow_limits',
  'flows',
  'fragments',
  'next_hops',
  'member_counters',
  'reason_counters',
  'control',
] as const
/** Which programs of earlier versions do without: all else of such a one is taken over. */
const LATER_MAP_NAMES = ['half_open'] as const
export const MAP_NAMES = [...FIRST_MAP_NAMES, ...LATER_MAP_NAMES] as const
type FirstMapName = (typeof FIRST_MAP_NAMES)[number]
type LaterMapName = (typeof LATER_MAP_NAMES)[number]
export type MapName = FirstMapName | LaterMapName
type OpenMaps = Readonly<Record<FirstMapName, OpenMap>> & Readonly<Partial<Record<LaterMapName, OpenMap>>>

export interface OpenMap {
  readonly fd: number
  readonly info: MapInfo
}

/** A loaded program with its maps and constants, opened. */
export interface Dataplane extends Disposable {
  readonly fd: number
  readonly program: ProgramInfo
  readonly maps: OpenMaps
  /**
   * Undefined when they are not laid out as this version has them: the maps can be taken over all the same.
   */
  readonly config: Required<ProgramConfig> | undefined
}

/** A link pinned for an interface. */
export interface PinnedLink {
  readonly interfaceName: string
  readonly programId: number
  /** Of the interface; 0 once the interface is gone. */
  readonly ifindex: number
}

/**
 * The node's program and what belongs to it: the pinned one or, when that pin was removed, the newest that a
 * pinned link holds. Undefined when there is none. The maps are those that the program uses, whatever is
 * pinned as maps.
 */
export function openDataplane(pins: NodePins): Dataplane | undefined {
  const pinned = openPin(pins.program)
  const dataplane = pinned && openProgram(pinned)
  if (dataplane !== undefined) return dataplane
  const programIds = readPinnedLinks(pins).map(link => link.programId)
  for (const id of programIds.sort((a, b) => b - a)) {
    const program = openProgramById(id)
    const found = program && openProgram(program)
    if (found !== undefined) return found
  }
  return undefined
}

/** What another program of a link uses; undefined when it is none of Ballast's, or gone. */
export function openDataplaneOf(programId: number): Dataplane | undefined {
  const program = openProgramById(programId)
  return program && openProgram(program)
}

export function readPinnedLinks(pins: NodePins): PinnedLink[] {
  return listPins(pins.links).flatMap(pin => {
    const interfaceName = nameOfPin(pin)
    using link = openPin(pins.link(interfaceName))
    if (link === undefined) return []
    const { type, programId, ifindex } = readLinkInfo(link.fd)
    if (type !== LINK_TYPE_XDP) return []
    return [{ interfaceName, programId, ifindex }]
  })
}

export const readControl = ({ maps }: Pick<Dataplane, 'maps'>): Control => readControlMap(maps.control)

function readControlMap({ fd }: OpenMap): Control {
  const bytes = Buffer.alloc(structs.control.size)
  lookupEntry(fd, encodeIndex(0), bytes)
  return decodeControl(bytes)
}

/** Owns `program` from now on. */
function openProgram(program: Descriptor): Dataplane | undefined {
  using stack = new DisposableStack()
  stack.use(program)
  const info = readProgramInfo(program.fd)
  if (info.name !== PROGRAM_NAME) return undefined
  const opened = info.mapIds.flatMap(id => {
    const map = openMapById(id)
    return map === undefined ? [] : [{ fd: stack.use(map).fd, info: knownMapInfo(id, map.fd) }]
  })
  const maps: Partial<Record<MapName, OpenMap>> = Object.fromEntries(
    MAP_NAMES.flatMap(name => {
      const map = opened.find(each => each.info.name === name)
      return map === undefined ? [] : [[name, map]]
    }),
  )
  const constants = opened.find(map => map.info.name.endsWith('.rodata'))
  // Another layout may have other maps.
  if (maps.control !== undefined) refuseOtherLayout(maps.control)
  if (!hasAll(maps)) return undefined
  const config = constants && readConfig(info, constants)
  const kept = stack.move()
  return { fd: program.fd, program: info, maps, config, [Symbol.dispose]: () => kept.dispose() }
}

/** What never changes of a map, and the kernel uses no id twice. */
const mapInfos = new Map<number, MapInfo>()
const MAP_INFOS_KEPT = 256

function knownMapInfo(id: number, fd: number): MapInfo {
  const known = mapInfos.get(id)
  if (known !== undefined) return known
  if (mapInfos.size >= MAP_INFOS_KEPT) mapInfos.clear()
  const info = readMapInfo(fd)
  mapInfos.set(id, info)
  return info
}

const hasAll = (maps: Partial<Record<MapName, OpenMap>>): maps is OpenMaps =>
  FIRST_MAP_NAMES.every(name => maps[name] !== undefined)

/** By id of the program: its constants are frozen, and to find them in its BTF costs more than all else that a look does. */
const configs = new Map<number, Required<ProgramConfig> | undefined>()
const CONFIGS_KEPT = 8

function readConfig(program: ProgramInfo, constants: OpenMap): Required<ProgramConfig> | undefined {
  if (!configs.has(program.id)) {
    if (configs.size >= CONFIGS_KEPT) configs.clear()
    configs.set(program.id, decodeConstants(program, constants))
  }
  return configs.get(program.id)
}

function decodeConstants(program: ProgramInfo, { fd, info }: OpenMap): Required<ProgramConfig> | undefined {
  const place = findLoadedVariable(program.btfId, '.rodata', 'config')
  if (place === undefined || place.size !== structs.lb_config.size) return undefined
  const section = Buffer.alloc(info.valueSize)
  lookupEntry(fd, encodeIndex(0), section)
  return decodeConfig(section.subarray(place.offset, place.offset + place.size))
}

/** Better to stop than to misread maps that carry traffic (rule 1). */
function refuseOtherLayout(control: OpenMap): void {
  const { layoutVersion } = readControlMap(control)
  if (layoutVersion === LAYOUT_VERSION) return
  throw new BallastError({
    code: 'XDP_OTHER_LAYOUT',
    message: `the loaded maps have layout ${layoutVersion}, and this version works with ${LAYOUT_VERSION}`,
    hint: 'Drain the node, remove its pins and start again; or go back to the version that made them.',
  })
}
