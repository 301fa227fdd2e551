import { resolve } from 'node:path'
import { z } from 'zod'
import type { Lab } from '../../reconciler/lab/lab.ts'
import { readJsonLines } from '../../reconciler/lab/read-json-lines.ts'
import { hostsOf } from '../../reconciler/lab/topology.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import type { RowBackend } from '../../schemas/node-state.ts'

const Event = z.object({
  kind: z.string().optional(),
  sent: z.number().optional(),
  lost: z.record(z.string(), z.number()).optional(),
  silent: z.number().optional(),
})
type Event = z.infer<typeof Event>

export interface Running {
  readonly program: Program
  readonly events: readonly Event[]
  stop(): Promise<Event | undefined>
}

/** A script of this folder, on the client. */
export async function startOn(lab: Lab, script: string, order: object): Promise<Running> {
  const command = [process.execPath, resolve(import.meta.dirname, script), JSON.stringify(order)] as const
  const program = await startProgram(...lab.on('client', command), { stdout: 'pipe', stderr: 'inherit' })
  const events: Event[] = []
  readJsonLines(program.stdout!, Event, { each: event => events.push(event), other: () => {} })
  const closed = new Promise<void>(done => program.stdout!.once('close', done))
  return {
    program,
    events,
    async stop() {
      await program.stop(10_000)
      await closed
      return events.at(-1)
    },
  }
}

/** Long-lived connections to the example's web service; there when this resolves. */
export const hold = async (lab: Lab, count: number): Promise<Running> => {
  const held = await startOn(lab, 'hold-many.ts', { url: 'http://203.0.113.10/', count, interval: 500 })
  await waitUntil({ what: `${count} connections`, deadline: 60_000 }, () =>
    held.events.some(({ kind }) => kind === 'opened') ? true : null,
  )
  return held
}

/** All backends of the lab, by these weights. */
export const backendsOf = (lab: Lab, ...weights: number[]): RowBackend[] =>
  hostsOf(lab.topology, 'backend').map(({ addresses }, i) => ({
    address: addresses.ipv4,
    weight: weights[i] ?? 1,
  }))
