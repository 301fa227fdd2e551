import { connect } from 'node:net'
import type { ProbeResult } from '../rollout/reports.ts'

export interface ProbeTarget {
  readonly address: string
  readonly port: number
}

/** Opens TCP connections from here, and closes them again. */
export interface Probes {
  /** One attempt at each, all at once; settles when each has an answer. Those that are asked no more are forgotten. */
  try(targets: readonly ProbeTarget[]): Promise<void>
  results(): readonly ProbeResult[]
  /** What was found so far is of another rollout. */
  forget(): void
}

const TIMEOUT_MS = 2_000

export function createProbes(): Probes {
  let known = new Map<string, ProbeResult>()
  return {
    async try(targets) {
      const tried = targets.map(async target => {
        const name = nameTarget(target)
        const error = await knock(target)
        const failures = error === null ? 0 : (known.get(name)?.failures ?? 0) + 1
        return [name, { name, failures, error }] as const
      })
      known = new Map(await Promise.all(tried))
    },
    results: () => [...known.values()],
    forget() {
      known = new Map()
    },
  }
}

const nameTarget = ({ address, port }: ProbeTarget): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

/** Null: somebody answered. */
function knock({ address, port }: ProbeTarget): Promise<string | null> {
  return new Promise(resolve => {
    const socket = connect({ host: address, port, timeout: TIMEOUT_MS })
    const end = (answer: string | null): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(null))
    socket.once('timeout', () => end(`no answer within ${TIMEOUT_MS} ms`))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}
