import { BallastError } from '../../../schemas/ballast-error.ts'
import type { Edit } from '../../../schemas/edit.ts'
import type { IpvsRow } from '../../../schemas/node-state.ts'
import { watchNetwork } from '../../process/watch-network.ts'
import type { Capabilities, Driver } from '../driver.ts'
import { digestTable } from '../table-digest.ts'
import { createTurns } from '../turns.ts'
import { applyIpvs } from './apply.ts'
import { readListing, readTimeouts } from './kernel.ts'
import { fingerprintIpvs, observeIpvs } from './observe.ts'
import { readOwned } from './owned-file.ts'

export interface IpvsDriverOptions {
  /** Where the driver keeps what it owns (owned-file.ts): on a file system that a boot empties, below /run. */
  readonly file: string
  /** Called at once when an address has changed, before anybody looks at it. */
  readonly onAddressChange?: () => void
}

export type IpvsDriver = Driver<IpvsRow> & Required<Pick<Driver<IpvsRow>, 'connections'>>

/**
 * The driver of the kernel's IPVS, for the network namespace of this process, through ipvsadm and ip. `connections`
 * counts those that are established and those that are opening, closing or, for UDP, not yet timed out; templates
 * of persistence are none.
 */
export function createIpvsDriver({ file, onAddressChange }: IpvsDriverOptions): IpvsDriver {
  const inTurn = createTurns()
  return {
    name: 'ipvs',
    capabilities: () => inTurn(findCapabilities),
    observe: keys =>
      inTurn(async () => {
        const fingerprint = await fingerprintIpvs(await readOwned(file))
        const seen = await observeIpvs(await readOwned(file))
        const wanted = new Set(keys)
        const entries = Object.entries(seen.rows).filter(([key]) => keys === undefined || wanted.has(key))
        const rows = Object.fromEntries(entries)
        return { rows, fingerprint, facts: seen.facts, digest: digestTable(rows) }
      }),
    fingerprint: () => inTurn(async () => fingerprintIpvs(await readOwned(file))),
    connections: keys =>
      inTurn(async () => {
        const listed = keys.length === 0 ? new Map<string, never[]>() : await readListing()
        return new Map(
          keys.flatMap(key => {
            const backends = listed
              .get(key)
              ?.map(
                ({ address, port, active, inactive }) => [`${address} ${port}`, active + inactive] as const,
              )
            return backends === undefined ? [] : [[key, new Map(backends)] as const]
          }),
        )
      }),
    apply: (edits: readonly Edit<IpvsRow>[], signal: AbortSignal) =>
      inTurn(() => applyIpvs(file, edits, signal)),
    async *watch(signal) {
      for await (const _ of watchNetwork(['address'], signal)) {
        onAddressChange?.()
        yield { reason: 'an address changed' }
      }
    },
    close: async () => {},
  }
}

async function findCapabilities(): Promise<Capabilities> {
  try {
    await readTimeouts()
    return { available: true, reason: '' }
  } catch (error) {
    if (!(error instanceof BallastError)) throw error
    return {
      available: false,
      reason: `IPVS cannot be used: ${error.message}. It takes ipvsadm, root, and the kernel module ip_vs.`,
    }
  }
}
