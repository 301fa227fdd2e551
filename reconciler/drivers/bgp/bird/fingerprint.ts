import { statSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../../../schemas/digest.ts'
import { isAbsent } from '../../../process/is-absent.ts'
import { peersOf } from '../secrets.ts'
import { readConfigs } from './config-file.ts'
import { isDaemonDown, withBird } from './control.ts'
import type { BirdPlace } from './observe.ts'
import { readProtocols, readStatus } from './read-replies.ts'
import { askRunning } from './running.ts'
import { steadyTime } from './steady-time.ts'

/** Of when BIRD started and read its files, of its sessions and how much they sent, and of Ballast's own files. */
export function createBirdFingerprint(place: BirdPlace): () => Promise<string> {
  const times = { startedAt: steadyTime(), configuredAt: steadyTime() }
  return () => fingerprintBird(place, times)
}

type Times = Record<'startedAt' | 'configuredAt', (said: string) => string>

async function fingerprintBird(place: BirdPlace, times: Times): Promise<string> {
  const { written } = await readConfigs(place.files)
  const names = peersOf(written?.rows ?? {}).flatMap(({ password }) =>
    password === null ? [] : [password.file],
  )
  const files = [place.files.file, place.files.confirmed, ...names.map(name => join(place.secretsDir, name))]
  const versions = files.map(versionOf)
  return digestOf({ versions, daemon: await daemonOf(place, times) })
}

async function daemonOf({ socket }: BirdPlace, times: Times): Promise<unknown> {
  if (isAbsent(socket)) return null
  try {
    return await withBird(socket, async control => {
      const { startedAt, configuredAt } = readStatus(await control.ask('show status'))
      const protocols = readProtocols(await control.ask('show protocols all'))
      return {
        running: await askRunning(control),
        startedAt: times.startedAt(startedAt),
        configuredAt: times.configuredAt(configuredAt),
        protocols: protocols.map(({ name, state, bgp }) => [
          name,
          state,
          // A session that is down is tried in several states.
          bgp?.state === 'Established',
          bgp?.lastError ?? '',
          bgp?.channels ?? {},
        ]),
      }
    })
  } catch (error) {
    if (isDaemonDown(error)) return null
    throw error
  }
}

/** '' where it cannot be seen. */
function versionOf(file: string): string {
  try {
    const found = statSync(file, { throwIfNoEntry: false })
    return found === undefined ? '' : `${found.ctimeMs} ${found.size}`
  } catch {
    return ''
  }
}
