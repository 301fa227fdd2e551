import type { BgpRow, RowKey } from '../../../../schemas/node-state.ts'
import type { Facts } from '../../../../schemas/report.ts'
import { peersOf, readKnownSecrets } from '../secrets.ts'
import { type ConfigFile, fingerprintOf } from './compose-config.ts'
import { type ConfigFiles, readConfigs } from './config-file.ts'
import { type BirdControl, isDaemonDown, withBird } from './control.ts'
import { BFD, protocolOf, TABLE4, TABLE6 } from './names.ts'
import { type BirdState, channelIsUp, observeRows } from './observe-rows.ts'
import {
  type BirdProtocol,
  type BirdRoute,
  readBfdSessions,
  readProtocols,
  readRoutes,
  readStatus,
} from './read-replies.ts'
import { settleFiles } from './running.ts'

export interface BirdPlace {
  /** BIRD's control socket. */
  readonly socket: string
  readonly files: ConfigFiles
  /** The folder of the files with passwords. */
  readonly secretsDir: string
}

export interface BirdObservation {
  readonly rows: Record<RowKey, BgpRow>
  readonly facts: Facts
  /** The file that BIRD runs, or, when it does not, would run; null: none, or not as it was written. */
  readonly config: ConfigFile | null
  readonly state: BirdState
}

/**
 * A BIRD that does not run has no speaker; the rest is as its file says, since it would announce that when it starts.
 * Throws `BGP_DAEMON_HUNG`, `BGP_REPLY_UNREADABLE`.
 */
export async function observeBird(place: BirdPlace): Promise<BirdObservation> {
  try {
    return await withBird(place.socket, control => observeRunning(place, control))
  } catch (error) {
    if (isDaemonDown(error)) return observeStopped(place)
    throw error
  }
}

async function observeRunning(place: BirdPlace, control: BirdControl): Promise<BirdObservation> {
  const { config } = await settleFiles(control, place.files, place.socket)
  const status = readStatus(await control.ask('show status'))
  const state = await askState(control, config)
  const rows = await markStale(observeRows(config, state), config, place.secretsDir)
  const bfd = readBfdSessions(await control.ask('show bfd sessions'))
  const sessions = peersOf(config?.rows ?? {}).map(peer => {
    const protocol = state.protocols.find(({ name }) => name === protocolOf(peer.name))
    return {
      peer: peer.name,
      state: protocol?.bgp?.state ?? 'absent',
      since: protocol?.since ?? '',
      lastError: protocol?.bgp?.lastError ?? '',
      bfd:
        peer.bfd === null ? 'off' : (bfd.find(({ address }) => address === peer.address)?.state ?? 'absent'),
      exported: Object.fromEntries(
        peer.families.map(family => [family, protocol?.bgp?.channels[family]?.exported ?? 0]),
      ),
    }
  })
  return {
    rows,
    facts: { daemon: 'bird', running: true, version: status.version, startedAt: status.startedAt, sessions },
    config,
    state,
  }
}

async function observeStopped({ files }: BirdPlace): Promise<BirdObservation> {
  const { written } = await readConfigs(files)
  const rows = Object.fromEntries(Object.entries(written?.rows ?? {}).filter(([key]) => key !== 'speaker'))
  return {
    rows,
    facts: { daemon: 'bird', running: false },
    config: written,
    state: { protocols: [], routes: [], exported: new Map() },
  }
}

async function askState(control: BirdControl, config: ConfigFile | null): Promise<BirdState> {
  const protocols = readProtocols(await control.ask('show protocols all'))
  const routes = await askRoutes(control, [TABLE4, TABLE6])
  const exported = new Map<string, ReadonlyMap<string, BirdRoute>>()
  for (const { name, families } of peersOf(config?.rows ?? {})) {
    const protocol = protocols.find(each => each.name === protocolOf(name))
    if (protocol === undefined) continue
    for (const family of families.filter(each => channelIsUp(protocol, each))) {
      const channel = `${protocol.name}.${family}`
      const routes = readRoutes(await control.ask(`show route export table ${channel} all`))
      exported.set(channel, new Map(routes.map(route => [route.prefix, route])))
    }
  }
  return { protocols, routes, exported }
}

async function askRoutes(control: BirdControl, tables: readonly string[]): Promise<BirdRoute[]> {
  const routes: BirdRoute[] = []
  for (const table of tables) routes.push(...readRoutes(await control.ask(`show route table ${table} all`)))
  return routes
}

/** A protocol for BFD that is not ours. BIRD has one at most that receives. */
export const hasForeignBfd = (protocols: readonly BirdProtocol[]): boolean =>
  protocols.some(({ name, type }) => type === 'BFD' && name !== BFD)

/** A password that is another in the file than in BIRD; one that cannot be read is no other. */
async function markStale(
  rows: Record<RowKey, BgpRow>,
  config: ConfigFile | null,
  folder: string,
): Promise<Record<RowKey, BgpRow>> {
  const secrets = await readKnownSecrets(folder, peersOf(rows))
  const marked = Object.entries(rows).map(([key, row]): [RowKey, BgpRow] => {
    if (row.kind !== 'peer' || row.password === null) return [key, row]
    const { file } = row.password
    const secret = secrets.get(file)
    const stale = secret !== undefined && fingerprintOf(secret) !== config?.secrets[file]
    return [key, { ...row, password: { file, stale } }]
  })
  return Object.fromEntries(marked)
}
