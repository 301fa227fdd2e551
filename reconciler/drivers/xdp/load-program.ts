import type { Breathe } from '../../process/breather.ts'
import { type MapSizes, sizeMaps } from './capacity.ts'
import { encodeConfig, type ProgramConfig } from './config.ts'
import { copyTables } from './copy-tables.ts'
import { type Dataplane, MAP_NAMES, type MapName, type OpenMap, PROGRAM_NAME } from './dataplane.ts'
import { copyFlows } from './flow-table.ts'
import { encodeControl, encodeIndex, LAYOUT_VERSION, reasons } from './layout.ts'
import { readMapInfo, readProgramInfo } from './libbpf/info.ts'
import { updateEntry } from './libbpf/maps.ts'
import { openObject } from './libbpf/object.ts'

/** At most 15 characters with `.rodata` behind it. */
const OBJECT_NAME = 'ballast'

const SIZED_MAPS = [
  'vips',
  'services',
  'port_ranges',
  'rings',
  'member_counters',
  'next_hops',
  'flows',
  'half_open',
] as const

/** Change together: a service's number is an index into rings, a ring names counters. */
const TABLES: readonly MapName[] = ['vips', 'services', 'port_ranges', 'rings', 'member_counters']

interface LoadOptions {
  readonly config: Required<ProgramConfig>
  readonly present: Dataplane | undefined
  readonly breathe: Breathe
}

/**
 * Loads a program with other constants, other sizes of maps, or other code than the present one, and gives it
 * the maps of the present one; those of another size are made anew, with the same content. Attached to
 * nothing, pinned nowhere.
 */
export async function loadProgram(
  objectFile: string,
  { config, present, breathe }: LoadOptions,
): Promise<Dataplane> {
  const object = openObject(objectFile, OBJECT_NAME)
  try {
    await breathe()
    const sizes = sizeMaps(config.settings.capacity)
    for (const [map, entries] of Object.entries(sizes)) object.setMaxEntries(map, entries)
    const kept = present === undefined ? [] : MAP_NAMES.filter(name => fits(present, name, sizes))
    for (const name of kept) object.reuseMap(name, present!.maps[name]!.fd)
    object.setConstant('config', encodeConfig(config))
    await breathe()
    await object.load()
    // The program does not use it, but where it goes its numbers go.
    object.bindMap(PROGRAM_NAME, 'control')

    const openMap = (name: MapName): OpenMap => {
      const fd = object.mapFd(name)
      return { fd, info: readMapInfo(fd) }
    }
    const fd = object.programFd(PROGRAM_NAME)
    const maps = Object.fromEntries(MAP_NAMES.map(name => [name, openMap(name)])) as Dataplane['maps']
    const dataplane = { fd, program: readProgramInfo(fd), maps, config, [Symbol.dispose]: object.close }
    if (present === undefined) startControl(dataplane, config.bucketKey)
    else await copyContents(present, dataplane)
    return dataplane
  } catch (error) {
    object.close()
    throw error
  }
}

/** Whether the maps are as large as the settings ask for. */
export const fitsSizes = ({ maps }: Dataplane, sizes: MapSizes): boolean =>
  SIZED_MAPS.every(name => maps[name]?.info.maxEntries === sizes[name])

function fits(present: Dataplane, name: MapName, sizes: MapSizes): boolean {
  const hasSize = (map: MapName): boolean => {
    const wanted: Partial<Record<MapName, number>> = { ...sizes, reason_counters: reasons.length }
    const entries = present.maps[map]?.info.maxEntries
    // The others have one size, which belongs to the layout.
    return entries !== undefined && entries === (wanted[map] ?? entries)
  }
  return TABLES.includes(name) ? TABLES.every(hasSize) : hasSize(name)
}

async function copyContents(from: Dataplane, to: Dataplane): Promise<void> {
  if (from.maps.services.info.id !== to.maps.services.info.id) await copyTables(from, to)
  await copyFlows(from, to)
}

function startControl({ maps }: Dataplane, bucketKey: bigint): void {
  const control = { layoutVersion: LAYOUT_VERSION, nextGeneration: 1, bucketKey }
  updateEntry(maps.control.fd, encodeIndex(0), encodeControl(control))
}
