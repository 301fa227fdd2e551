import { closeSync, openSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import koffi from 'koffi'
import { runCommand } from '../../../../reconciler/process/run-command.ts'
import { run } from './lab.ts'

/**
 * A client, three backends and a second load balancer, each in a network namespace; the first load balancer is the kernel's
 * own namespace, where the driver runs. The client reaches each balancer by a link, and everybody but it by the
 * bridge `back`, where answers come to it directly. Servers and connections are this process's: a socket belongs to the
 * namespace in which it was made.
 */

export const VIP = '203.0.113.1'
export const BACKENDS = ['be-1', 'be-2', 'be-3'] as const
export const addressOf = (backend: (typeof BACKENDS)[number]): string => `10.9.0.${backend.slice(-1)}`
export const FRONT = 'front'
/** Of the client, where it asks from; on the bridge; of the balancers on their links to it. */
const CLIENT = '10.8.0.2'
const CLIENT_ON_BRIDGE = '10.9.0.200'
const BALANCER_ON_BRIDGE = '10.9.0.254'
export const VIA = { first: '10.8.0.1', second: '10.8.1.1' } as const

/** Commands of `ip`, all by one process; null: in the kernel's own namespace. */
async function ip(name: string | null, ...commands: readonly string[]): Promise<void> {
  const args = name === null ? ['-batch', '-'] : ['-n', name, '-batch', '-']
  await runCommand('ip', args, { input: `${commands.join('\n')}\n`, timeout: 60_000 })
}

export async function makeNetwork(): Promise<void> {
  const names = ['client', 'lb-2', ...BACKENDS]
  await ip(
    null,
    ...names.map(name => `netns add ${name}`),
    'link add back type bridge',
    'link set back up',
    `addr add ${BALANCER_ON_BRIDGE}/24 dev back`,
    ...names.flatMap(name => [
      `link add p-${name} type veth peer name back netns ${name}`,
      `link set p-${name} master back`,
      `link set p-${name} up`,
    ]),
    `link add ${FRONT} type veth peer name to-lb-1 netns client`,
    'link add front-2 netns lb-2 type veth peer name to-lb-2 netns client',
    `addr add ${VIA.first}/24 dev ${FRONT}`,
    `link set ${FRONT} up`,
  )
  for (const name of [null, ...names])
    settings(name, 'ip_forward=1', 'conf.all.rp_filter=0', 'conf.default.rp_filter=0')
  await ip('client', ...up('lo'), ...up('to-lb-1', `${CLIENT}/24`), ...up('to-lb-2', '10.8.1.2/24'))
  await ip('client', ...up('back', `${CLIENT_ON_BRIDGE}/24`))
  await ip('lb-2', ...up('lo'), ...up('front-2', `${VIA.second}/24`), ...up('back', '10.9.0.253/24'))
  // So few ports that clients use them again, as those behind a NAT do.
  settings('client', 'ip_local_port_range=40000 40199')
  // A veth device leaves checksums to others; nobody makes up for that once a packet is encapsulated.
  for (const device of ['to-lb-1', 'to-lb-2'])
    await run('ip', 'netns', 'exec', 'client', 'ethtool', '-K', device, 'tx', 'off')
  for (const backend of BACKENDS) {
    await ip(
      backend,
      ...up('lo', `${VIP}/32`),
      ...up('back', `${addressOf(backend)}/24`),
      ...up('tunl0'),
      'fou add port 6080 gue',
    )
    settings(backend, 'conf.tunl0.rp_filter=0', 'conf.back.rp_filter=0')
    // So that the VIP is not claimed on the bridge.
    settings(backend, 'conf.all.arp_ignore=1', 'conf.all.arp_announce=2')
  }
  settings(null, 'conf.all.arp_ignore=1', 'conf.all.arp_announce=2')
  await routeVia('first')
  await answerVia('client')
}

/** What a test that failed left open would keep its namespace, and with it the link to the balancer. */
const connected = new Set<Socket>()

export async function removeNetwork(): Promise<void> {
  for (const socket of connected) socket.resetAndDestroy()
  await ip(null, ...['client', 'lb-2', ...BACKENDS].map(name => `netns del ${name}`), 'link del back')
}

const up = (device: string, address?: string): string[] => [
  ...(address === undefined ? [] : [`addr add ${address} dev ${device}`]),
  `link set ${device} up`,
]

/** Of net.ipv4; null: of the kernel's own namespace. */
function settings(name: string | null, ...sysctls: string[]): void {
  if (name !== null) enter(`/run/netns/${name}`)
  for (const sysctl of sysctls) {
    const [path = '', value = ''] = sysctl.split('=')
    writeFileSync(`/proc/sys/net/ipv4/${path.replaceAll('.', '/')}`, value)
  }
  if (name !== null) enter(OWN)
}

/** Which balancer the client's packets to the VIP go to. */
export const routeVia = (balancer: keyof typeof VIA) =>
  ip('client', `route replace ${VIP}/32 via ${VIA[balancer]} src ${CLIENT}`)

/** Whom backends answer by: the client itself, or the balancer, as NAT needs. */
export async function answerVia(next: 'client' | 'balancer'): Promise<void> {
  const via = next === 'client' ? CLIENT_ON_BRIDGE : BALANCER_ON_BRIDGE
  for (const backend of BACKENDS) await ip(backend, `route replace 10.8.0.0/24 via ${via}`)
}

const setns = koffi.load(null).func('int setns(int fd, int type)')
const NETWORK = 0x40000000
const OWN = '/proc/1/ns/net'

function enter(path: string): void {
  const fd = openSync(path, 'r')
  const failed = setns(fd, NETWORK) !== 0
  closeSync(fd)
  if (failed) throw new Error(`no way into ${path}`)
}

/** For what makes its socket now, or at the next tick of the process; others may be made in between. */
function inNamespace<T>(name: string, make: () => T): T {
  process.nextTick(enter, `/run/netns/${name}`)
  enter(`/run/netns/${name}`)
  const made = make()
  enter(OWN)
  process.nextTick(enter, OWN)
  return made
}

/** Every backend answers each line with its name, on port 80 of all its addresses. */
export function startServers(): Server[] {
  return BACKENDS.map(name =>
    inNamespace(name, () =>
      createServer(socket => {
        socket.on('error', () => {})
        // A client that is gone keeps nobody here.
        socket.unref()
        createInterface({ input: socket })
          .on('line', () => socket.write(`${name}\n`))
          .on('error', () => {})
      })
        .listen(80)
        .unref(),
    ),
  )
}

export interface Connection {
  readonly socket: Socket
  /** The backend, by its own account; throws when the connection was lost, or nothing came within `PATIENCE_MS`. */
  ask(): Promise<string>
}

const PATIENCE_MS = 8000

/** From the client to the VIP. */
export function open(): Connection {
  const socket = inNamespace('client', () => connect({ host: VIP, port: 80 }))
  connected.add(socket)
  socket.on('close', () => connected.delete(socket))
  const waiting: { done: (name: string) => void; fail: (error: Error) => void }[] = []
  const lose = (error: Error): void => {
    for (const each of waiting.splice(0)) each.fail(error)
  }
  let lost: Error | undefined
  socket.on('error', error => {
    lost = error
    lose(error)
  })
  createInterface({ input: socket })
    .on('line', name => waiting.shift()?.done(name))
    .on('error', () => {})
  return {
    socket,
    ask: () =>
      new Promise((done, fail) => {
        if (lost !== undefined) return fail(lost)
        const timer = setTimeout(() => fail(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS)
        waiting.push({
          done: name => {
            clearTimeout(timer)
            done(name)
          },
          fail: error => {
            clearTimeout(timer)
            fail(error)
          },
        })
        socket.write('who?\n')
        return undefined
      }),
  }
}

/** One request over a connection of its own, which ends by a reset: IPVS remembers what was closed for two minutes. */
export async function request(): Promise<string> {
  const connection = open()
  try {
    return await connection.ask()
  } finally {
    connection.socket.resetAndDestroy()
  }
}

export async function requests(count: number): Promise<Set<string>> {
  const names = new Set<string>()
  for (let i = 0; i < count; i += 1) names.add(await request())
  return names
}

/** A connection to this backend. */
export async function openTo(backend: string): Promise<Connection> {
  for (let tries = 0; tries < 200; tries += 1) {
    const connection = open()
    if ((await connection.ask()) === backend) return connection
    connection.socket.resetAndDestroy()
  }
  throw new Error(`200 connections, none to ${backend}`)
}

export interface Load extends AsyncDisposable {
  readonly done: number
  readonly failures: readonly string[]
  stop(): Promise<void>
}

/** Requests all the time, so many at once. */
export function startLoad(atOnce: number): Load {
  const failures: string[] = []
  let done = 0
  let running = true
  const one = async (): Promise<void> => {
    while (running) {
      await request().catch((error: Error) => failures.push(error.message))
      done += 1
    }
  }
  const all = Promise.all(Array.from({ length: atOnce }, one))
  const stop = async (): Promise<void> => {
    running = false
    await all
  }
  return {
    get done() {
      return done
    },
    failures,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
