import { setTimeout as delay } from 'node:timers/promises'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import type { BgpRow } from '../../../../schemas/node-state.ts'
import { isAbsent } from '../../../process/is-absent.ts'
import type { Driver, Hint } from '../../driver.ts'
import { digestTable } from '../../table-digest.ts'
import { createTurns } from '../../turns.ts'
import { applyAll, pick } from '../batch.ts'
import { applyBird } from './apply.ts'
import { configFiles } from './config-file.ts'
import { type BirdControl, openBirdControl } from './control.ts'
import { createBirdFingerprint } from './fingerprint.ts'
import { observeBird } from './observe.ts'

export interface BirdDriverOptions {
  /** Of `bird -s`. */
  readonly socket: string
  /** The file that BIRD's own configuration includes; on tmpfs, so that a node announces nothing after a boot. */
  readonly file: string
  /** A folder with the files of the passwords that peers name. */
  readonly secretsDir: string
}

const RECONNECT_AFTER_MS = 1_000

/** BIRD 2 by its control socket. Nothing but the file is Ballast's; what else BIRD does is its administrator's. */
export function createBirdDriver({ socket, file, secretsDir }: BirdDriverOptions): Driver<BgpRow> {
  const place = { socket, secretsDir, files: configFiles(file) }
  const inTurn = createTurns()
  const fingerprintBird = createBirdFingerprint(place)
  return {
    name: 'bgp',
    capabilities: async () => ({ available: true, reason: '' }),
    observe: keys =>
      inTurn(async () => {
        const fingerprint = await fingerprintBird()
        const { rows, facts } = await observeBird(place)
        const picked = pick(rows, keys)
        return { rows: picked, fingerprint, facts, digest: digestTable(picked) }
      }),
    fingerprint: () => inTurn(fingerprintBird),
    watch: signal => watchBird(socket, signal),
    apply: (edits, signal) =>
      inTurn(() => applyAll({ daemon: 'bird', edits, signal }, () => applyBird(place, edits))),
    close: async () => {},
  }
}

/** What BIRD writes to its log, of itself and of its sessions, is said here too. */
async function* watchBird(socket: string, signal: AbortSignal): AsyncIterable<Hint> {
  while (!signal.aborted) {
    const control = await connect(socket)
    if (control !== null) {
      yield { reason: 'connected to BIRD' }
      for await (const line of control.listen(signal)) yield { reason: line }
      if (!signal.aborted) yield { reason: 'BIRD went away' }
    }
    await delay(RECONNECT_AFTER_MS, undefined, { signal }).catch(() => {})
  }
}

/** Null while it does not answer, which those who ask it for more will say. */
async function connect(socket: string): Promise<BirdControl | null> {
  if (isAbsent(socket)) return null
  try {
    const control = await openBirdControl(socket)
    await control.ask('echo all')
    return control
  } catch (error) {
    if (error instanceof BallastError) return null
    throw error
  }
}
