import { resolve } from 'node:path'
import { HoldEvent, LoadEvent, type LoadOrder, type ServerOrder } from '../../schemas/lab.ts'
import { type Program, startProgram } from '../process/run-command.ts'
import type { Lab } from './lab.ts'
import { readJsonLines } from './read-json-lines.ts'
import { hostsOf } from './topology.ts'
import { waitUntil } from './wait-until.ts'

/** What every backend of the lab answers: HTTP on any VIP, datagrams on these. */
const HTTP_PORTS = [80, 443, 8080]
const UDP_SERVICES = [
  { address: '203.0.113.53', port: 53 },
  { address: '2001:db8::53', port: 53 },
]
const START_LIMIT_MS = 15_000

const scriptCommand = (script: string, order: unknown): [string, ...string[]] => [
  process.execPath,
  resolve(import.meta.dirname, script),
  JSON.stringify(order),
]

/** Starts the servers of all backends. They outlive this process; taking the lab down ends them. */
export async function startBackends(lab: Lab): Promise<void> {
  await Promise.all(
    hostsOf(lab.topology, 'backend').map(async ({ name }) => {
      const order: ServerOrder = { name, httpPorts: HTTP_PORTS, udp: UDP_SERVICES }
      const [file, args] = lab.on(name, scriptCommand('backend-server.ts', order))
      const server = await startProgram(file, args, { stdout: 'pipe', stderr: 'inherit', detached: true })
      let ready = false
      server.stdout?.once('data', () => {
        ready = true
      })
      await waitUntil({ what: `the server on ${name}`, deadline: START_LIMIT_MS }, () => ready || null)
      ;(server.stdout as unknown as { destroy(): void }).destroy()
      server.unref()
    }),
  )
}

export interface Load {
  /** So far, in order of their ends. */
  readonly events: readonly LoadEvent[]
  /** Lets open requests end. */
  stop(): Promise<void>
}

/** Starts the load generator on the client. */
export async function startLoad(lab: Lab, order: LoadOrder): Promise<Load> {
  const events: LoadEvent[] = []
  const program = await startClient(lab, 'load-generator.ts', order)
  const ended = readEvents(program, LoadEvent, event => events.push(event))
  return {
    events,
    async stop() {
      await program.stop(order.timeout + 1_000)
      await ended
    },
  }
}

export interface HeldConnection {
  readonly events: readonly HoldEvent[]
  /** Open, and every line so far came back or is not yet late. */
  readonly alive: () => boolean
  stop(): Promise<void>
}

const ECHO_EVERY_MS = 50
const PATIENCE_MS = 3_000

/** Opens a long-lived connection to one backend, and gives it once it is open. Throws `LAB_WAIT_TIMED_OUT`. */
export async function holdConnection(lab: Lab, url: string, backend: string): Promise<HeldConnection> {
  const events: HoldEvent[] = []
  const order = { url, backend, interval: ECHO_EVERY_MS, patience: PATIENCE_MS }
  const program = await startClient(lab, 'hold-connection.ts', order)
  const ended = readEvents(program, HoldEvent, event => events.push(event))
  let exited = false
  void program.exited.then(() => {
    exited = true
  })
  const alive = (): boolean => !exited && events.every(({ kind }) => kind !== 'lost')
  await waitUntil({ what: `a connection to ${backend}`, deadline: START_LIMIT_MS }, () =>
    events.some(({ kind }) => kind === 'echo') ? true : null,
  )
  return {
    events,
    alive,
    async stop() {
      await program.stop()
      await ended
    },
  }
}

async function startClient(lab: Lab, script: string, order: unknown): Promise<Program> {
  const [file, args] = lab.on('client', scriptCommand(script, order))
  return await startProgram(file, args, { stdout: 'pipe', stderr: 'inherit' })
}

/** Resolves when all output was read. */
function readEvents<T>(
  program: Program,
  schema: Parameters<typeof readJsonLines<T>>[1],
  each: (event: T) => void,
) {
  const { stdout } = program
  if (stdout === null) throw new TypeError('the program was started without a pipe')
  readJsonLines(stdout, schema, { each, other: line => process.stderr.write(`${line}\n`) })
  return new Promise<void>(done => stdout.once('close', done))
}
