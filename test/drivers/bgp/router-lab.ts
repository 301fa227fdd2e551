import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openBirdControl } from '../../../reconciler/drivers/bgp/bird/control.ts'
import { type BirdRoute, readRoutes } from '../../../reconciler/drivers/bgp/bird/read-replies.ts'
import type { Reply } from '../../../reconciler/drivers/bgp/bird/reply.ts'
import { createGobgpDriver, type GobgpDriverOptions } from '../../../reconciler/drivers/bgp/gobgp/driver.ts'
import type { Driver } from '../../../reconciler/drivers/driver.ts'
import { type Program, runCommand, startProgram } from '../../../reconciler/process/run-command.ts'
import type { BgpPeerRow, BgpRouteRow, BgpRow, BgpSpeakerRow, Table } from '../../../schemas/node-state.ts'

/** Where the set-up puts the definitions. */
export const GOBGP_API = join(import.meta.dirname, '../../../reconciler/drivers/bgp/gobgp/api')

export const NODE_ASN = 65001
export const ROUTER_ASN = 65000
export const NODE = { ipv4: '10.9.0.1', ipv6: 'fd09::1' }
export const ROUTER = { ipv4: '10.9.0.2', ipv6: 'fd09::2' }

/** The router's side of a session with the load balancer. */
export const PEERING = `protocol bgp lb {
  local as 65000; neighbor 10.9.0.1 as 65001; passive;
  bfd { interval 100 ms; multiplier 3; };
  ipv4 { import all; export none; }; ipv6 { import all; export none; };
}`

const QUICK = 'connect delay time 1; connect retry time 1; error wait time 1, 1;'

/** The same by sessions that carry the family of their addresses alone; the router connects, which GoBGP puts off for 5 s. */
export const PEERING_BY_FAMILY = `protocol bgp lb {
  local as 65000; neighbor 10.9.0.1 as 65001; ${QUICK}
  ipv4 { import all; export none; };
}
protocol bgp lb6 {
  local as 65000; neighbor fd09::1 as 65001; ${QUICK}
  ipv6 { import all; export none; };
}`

/** Two namespaces and a link between them: a load balancer, and a router that runs BIRD. */
export interface RouterLab extends AsyncDisposable {
  readonly dir: string
  /** Runs a daemon on the load balancer until the lab is gone. */
  start(command: readonly [string, ...string[]]): Promise<Program>
  /** On either, to its end. */
  run(where: 'node' | 'router', command: readonly [string, ...string[]]): Promise<string>
  /** What the router learnt. */
  learnt(): Promise<BirdRoute[]>
  askRouter(command: string): Promise<Reply>
}

let labs = 0

/** `peerings`: protocols of the router's BIRD. */
export async function openRouterLab(peerings: string): Promise<RouterLab> {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-bgp-'))
  // The daemon may run as a user of its own.
  chmodSync(dir, 0o755)
  const id = `${process.pid.toString(36)}-${labs++}`
  const namespaces = { node: `bg-${id}-n`, router: `bg-${id}-r` }
  const programs: Program[] = []
  const inside = (where: 'node' | 'router', command: readonly string[]): [string, string[]] => [
    'nsenter',
    [`--net=/run/netns/${namespaces[where]}`, ...command],
  ]
  const start = async (where: 'node' | 'router', command: readonly string[]): Promise<Program> => {
    const program = await startProgram(...inside(where, command))
    programs.push(program)
    return program
  }
  async function close(): Promise<void> {
    for (const program of programs) await program.stop(500)
    for (const name of Object.values(namespaces))
      await runCommand('ip', ['netns', 'delete', name], { okExitCodes: [0, 1] })
    rmSync(dir, { recursive: true, force: true })
  }

  try {
    const lines = [
      ...Object.values(namespaces).map(name => `netns add ${name}`),
      `link add eth0 netns ${namespaces.node} type veth peer name eth0 netns ${namespaces.router}`,
    ]
    await runCommand('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
    for (const [where, { ipv4, ipv6 }] of [
      ['node', NODE],
      ['router', ROUTER],
    ] as const) {
      const setup = `link set lo up\nlink set eth0 up\naddress add ${ipv4}/24 dev eth0\naddress add ${ipv6}/64 dev eth0 nodad\n`
      await runCommand(...inside(where, ['ip', '-batch', '-']), { input: setup })
    }
    const socket = join(dir, 'router.ctl')
    writeFileSync(
      join(dir, 'router.conf'),
      `router id ${ROUTER.ipv4};\nprotocol device { }\nprotocol bfd { }\n${peerings}\n`,
    )
    await start('router', [
      'bird',
      '-f',
      '-c',
      join(dir, 'router.conf'),
      '-s',
      socket,
      '-P',
      join(dir, 'router.pid'),
    ])
    await untilListening(socket)
    const askRouter = (command: string) => askBird(socket, command)
    return {
      dir,
      start: command => start('node', command),
      run: async (where, command) => (await runCommand(...inside(where, command))).stdout,
      learnt: async () => readRoutes(await askRouter('show route all')),
      askRouter,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

export interface BirdNode {
  readonly socket: string
  readonly file: string
  readonly main: string
  readonly secretsDir: string
  ask(command: string): Promise<Reply>
  /** Starts it (again). */
  start(): Promise<Program>
}

/** A BIRD on the load balancer, with the administrator's configuration as docs/bgp.md asks for it. */
export async function addBird(lab: RouterLab, extra = ''): Promise<BirdNode> {
  const socket = join(lab.dir, 'bird.ctl')
  const main = join(lab.dir, 'bird.conf')
  const file = join(lab.dir, 'run', 'bird.conf')
  const secretsDir = join(lab.dir, 'secrets')
  mkdirSync(secretsDir)
  const pattern = file.replace('/run/bird.conf', '/[r]un/bird.conf')
  writeFileSync(main, `router id ${NODE.ipv4};\nprotocol device { }\n${extra}include "${pattern}";\n`)
  const start = async (): Promise<Program> => {
    const program = await lab.start(['bird', '-f', '-c', main, '-s', socket, '-P', join(lab.dir, 'bird.pid')])
    await untilListening(socket)
    return program
  }
  await start()
  return { socket, file, main, secretsDir, ask: command => askBird(socket, command), start }
}

export interface GobgpNode extends GobgpDriverOptions {
  /** Runs GoBGP's own command. */
  ask(...words: string[]): Promise<string>
  /** Starts it (again). */
  start(): Promise<void>
  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
}

/** A GoBGP on the load balancer, without a configuration of its own. */
export async function addGobgp(lab: RouterLab): Promise<GobgpNode> {
  const socket = join(lab.dir, 'gobgp.sock')
  const secretsDir = join(lab.dir, 'secrets')
  mkdirSync(secretsDir)
  const place = { api: `unix://${socket}`, apiDir: GOBGP_API, secretsDir }
  let pid = 0
  const start = async (): Promise<void> => {
    rmSync(socket, { force: true })
    const program = await lab.start([
      'gobgpd',
      '--api-hosts',
      place.api,
      '--pprof-disable',
      '--log-level',
      'warn',
    ])
    pid = program.pid
    const driver = createGobgpDriver(place)
    await until('GoBGP to listen', async () => {
      const { facts } = await driver.observe().catch(() => ({ facts: { running: false } }))
      return facts.running === true
    })
    await driver.close()
  }
  await start()
  return {
    ...place,
    start,
    ask: async (...words) => (await runCommand('gobgp', ['--target', place.api, ...words])).stdout,
    signal: name => void process.kill(pid, name),
  }
}

async function askBird(socket: string, command: string): Promise<Reply> {
  const control = await openBirdControl(socket)
  try {
    return await control.ask(command)
  } finally {
    control.close()
  }
}

async function untilListening(socket: string): Promise<void> {
  const control = await until('BIRD to listen', () => openBirdControl(socket).catch(() => null))
  control.close()
}

/** Asks until the answer is neither null nor false. */
export async function until<Value>(
  what: string,
  ask: () => Promise<Value | null | false>,
  deadline = 15_000,
): Promise<Value> {
  const end = Date.now() + deadline
  for (;;) {
    const value = await ask()
    if (value !== null && value !== false) return value
    if (Date.now() > end) throw new Error(`waited ${deadline} ms for ${what}`)
    await delay(20)
  }
}

export const speakerRow = (over: Partial<BgpSpeakerRow> = {}): BgpSpeakerRow => ({
  kind: 'speaker',
  daemon: 'bird',
  asn: NODE_ASN,
  routerId: NODE.ipv4,
  ...over,
})

export const peerRow = (over: Partial<BgpPeerRow> = {}): BgpPeerRow => ({
  kind: 'peer',
  name: 'tor-1',
  address: ROUTER.ipv4,
  localAddress: '',
  asn: ROUTER_ASN,
  port: 179,
  password: null,
  ttl: 1,
  bfd: null,
  timers: { hold: 9, keepalive: 3, retry: 1 },
  gracefulRestart: 0,
  families: ['ipv4', 'ipv6'],
  exportLimit: 100,
  ...over,
})

export const routeRow = (over: Partial<BgpRouteRow> = {}): BgpRouteRow => ({
  kind: 'route',
  prefix: '203.0.113.10/32',
  peers: ['tor-1'],
  communities: [],
  largeCommunities: [],
  med: null,
  localPreference: null,
  prepend: 0,
  ...over,
})

export const tableOf = (...rows: BgpRow[]): Table<BgpRow> =>
  Object.fromEntries(
    rows.map(row => [
      row.kind === 'speaker' ? 'speaker' : row.kind === 'peer' ? `peer/${row.name}` : `route/${row.prefix}`,
      row,
    ]),
  )

const ANSWERING = ['tor-1', 'tor-1-v6']

/** A driver whose `apply` waits for the sessions to the router too, so that nothing changes by itself after it. */
export const settled = (driver: Driver<BgpRow>): Driver<BgpRow> => ({
  ...driver,
  async apply(edits, signal) {
    const outcomes = await driver.apply(edits, signal)
    if (!signal.aborted)
      await until('the session to be up', async () => {
        const { rows, facts } = await driver.observe()
        const sessions = (facts.sessions ?? []) as { peer: string; state: string }[]
        return ANSWERING.filter(name => rows[`peer/${name}`] !== undefined).every(name =>
          sessions.some(({ peer, state }) => peer === name && state === 'Established'),
        )
      })
    return outcomes
  },
})
