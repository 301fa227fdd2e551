import { setTimeout as delay } from 'node:timers/promises'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import { digestOf } from '../../../../schemas/digest.ts'
import type { BgpRow } from '../../../../schemas/node-state.ts'
import type { Driver, Hint } from '../../driver.ts'
import { digestTable } from '../../table-digest.ts'
import { createTurns } from '../../turns.ts'
import { applyAll, pick } from '../batch.ts'
import { readKnownSecrets } from '../secrets.ts'
import { applyGobgp } from './apply.ts'
import { type GobgpClient, type GobgpPlace, isDaemonDown, openGobgp } from './client.ts'
import { lookAtGobgp } from './look.ts'
import { observeGobgp } from './observe.ts'

const RECONNECT_AFTER_MS = 1_000

export interface GobgpDriverOptions extends GobgpPlace {
  /** A folder with the files of the passwords that peers name. */
  readonly secretsDir: string
}

/** GoBGP 3 by its gRPC interface. It keeps nothing over a restart, and all of it is Ballast's. Throws `BGP_API_MISSING`. */
export function createGobgpDriver({ secretsDir, ...place }: GobgpDriverOptions): Driver<BgpRow> {
  const client = openGobgp(place)
  const inTurn = createTurns()
  return {
    name: 'bgp',
    capabilities: async () => ({ available: true, reason: '' }),
    observe: keys =>
      inTurn(async () => {
        const fingerprint = await fingerprintGobgp(client, secretsDir)
        const { rows, facts } = await observeGobgp(client, secretsDir)
        const picked = pick(rows, keys)
        return { rows: picked, fingerprint, facts, digest: digestTable(picked) }
      }),
    fingerprint: () => inTurn(() => fingerprintGobgp(client, secretsDir)),
    watch: signal => watchGobgp(client, signal),
    apply: (edits, signal) =>
      inTurn(() => applyAll({ daemon: 'gobgp', edits, signal }, () => applyGobgp(client, secretsDir, edits))),
    close: async () => client.close(),
  }
}

/** Of all that GoBGP holds, of its sessions, and of the passwords: without what each peer was sent, which follows from them. */
async function fingerprintGobgp(client: GobgpClient, secretsDir: string): Promise<string> {
  try {
    const { speaker, peers, foreignPeers, routes, policyHolds } = await lookAtGobgp(client)
    const rows = peers.map(({ row }) => row)
    const sessions = [...peers.map(({ peer }) => peer), ...foreignPeers].map(({ conf, state, timers }) => [
      conf,
      // A session that is down is tried in several states.
      state.sessionState === 'ESTABLISHED',
      state.adminState,
      state.flops,
      state.sessionState === 'ESTABLISHED' && timers.state.uptime?.seconds,
    ])
    const secrets = [...(await readKnownSecrets(secretsDir, rows))]
    return digestOf({ speaker, rows, sessions, routes, policyHolds, secrets })
  } catch (error) {
    if (isDaemonDown(error)) return digestOf(null)
    throw error
  }
}

const NEWS = { peer: {}, table: { filters: [{ type: 'BEST' }] } }

/** Sessions that change, routes that come and go, GoBGP itself. */
async function* watchGobgp(client: GobgpClient, signal: AbortSignal): AsyncIterable<Hint> {
  while (!signal.aborted) {
    try {
      await client.call('GetBgp', {})
      yield { reason: 'connected to GoBGP' }
      for await (const news of client.follow('WatchEvent', NEWS, signal)) yield { reason: reasonOf(news) }
    } catch (error) {
      if (!(error instanceof BallastError)) throw error
      if (error.code === 'BGP_DAEMON_LOST') yield { reason: 'GoBGP went away' }
    }
    await delay(RECONNECT_AFTER_MS, undefined, { signal }).catch(() => {})
  }
}

function reasonOf(news: unknown): string {
  const { peer } = news as { peer?: { peer?: { conf?: { neighborAddress: string } } } | null }
  const address = peer?.peer?.conf?.neighborAddress
  return address === undefined ? 'a route changed in GoBGP' : `the session with ${address} changed`
}
