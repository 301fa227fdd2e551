import { randomBytes } from 'node:crypto'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { XdpSettingsRow } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { dropInterface, replacePrograms } from './apply-interfaces.ts'
import { readAttachments } from './attachments.ts'
import { nearBucketsOf, sizeMaps } from './capacity.ts'
import { encodeConfig, type ProgramConfig } from './config.ts'
import { type Dataplane, MAP_NAMES, openDataplane, readControl, readPinnedLinks } from './dataplane.ts'
import { readFleetKey } from './fleet-key.ts'
import { mountBpfFileSystem, unpin, unpinAll } from './libbpf/pins.ts'
import { fitsSizes, loadProgram } from './load-program.ts'
import type { NodePins } from './node-pins.ts'
import { pinDataplane } from './pin-dataplane.ts'
import { readTables } from './tables.ts'

export interface SettingsContext {
  readonly breathe: Breathe
  readonly pins: NodePins
  readonly objectFile: string
  readonly fleetKeyFile: string | undefined
  /** Of the object file; undefined when it is missing. */
  readonly readObject: () => number | undefined
}

/**
 * Makes the node's program the one that the settings ask for. Its maps and links are taken over, so traffic
 * goes on meanwhile and flows stay where they are.
 */
export async function putSettings(context: SettingsContext, row: XdpSettingsRow): Promise<void> {
  const { pins, objectFile, breathe } = context
  const fleetKey = readFleetKey(row, context.fleetKeyFile)
  mountBpfFileSystem(pins.bpffs)
  using present = openDataplane(pins)
  const { kind: _, fleetKey: __, ...settings } = row
  const sizes = sizeMaps(row.capacity)
  const config = {
    fleetKey,
    bucketKey: present === undefined ? randomBytes(8).readBigUInt64LE() : readControl(present).bucketKey,
    nearBuckets: nearBucketsOf(sizes.flows),
    halfOpenBuckets: sizes.half_open,
    object: context.readObject() ?? present?.config?.object ?? 0,
    settings,
  }
  if (present !== undefined && isAsAsked(present, config)) return pinDataplane(pins, present)
  await breathe()
  using loaded = await loadProgram(objectFile, { config, present, breathe })
  await breathe()
  pinDataplane(pins, loaded)
  // With nothing to take over it has no services yet; interfaces come after these.
  if (present === undefined) return
  const names = readPinnedLinks(pins).map(link => link.interfaceName)
  await replacePrograms(pins, loaded, names)
}

/** Lets go of program and maps, once nothing uses them. */
export async function dropSettings({ pins }: SettingsContext): Promise<void> {
  using present = openDataplane(pins)
  const links = present === undefined ? [] : readAttachments(pins, present).map(({ row }) => row.name)
  const services = present === undefined ? [] : [...(await readTables(present)).services.keys()]
  if (links.length + services.length > 0) throw inUse([...links, ...services])
  // Of interfaces that are gone or renamed, which nobody sees as rows.
  for (const { interfaceName } of readPinnedLinks(pins)) dropInterface(pins, interfaceName)
  for (const name of MAP_NAMES) unpin(pins.map(name))
  unpin(pins.program)
  unpinAll(pins.root)
}

const isAsAsked = (present: Dataplane, config: Required<ProgramConfig>): boolean =>
  present.config !== undefined &&
  encodeConfig(present.config).equals(encodeConfig(config)) &&
  fitsSizes(present, sizeMaps(config.settings.capacity))

const inUse = (users: readonly string[]): BallastError =>
  new BallastError({
    code: 'XDP_SETTINGS_IN_USE',
    message: `the program cannot go while ${users.slice(0, 3).join(', ')}${users.length > 3 ? ', ...' : ''} use it`,
    hint: 'Interfaces and services of the node go first, in the same change.',
  })
