import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Program, runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { until } from './make-redis.ts'

/** A redis-server on a port of loopback, with a folder of its own; gone after the test. */
export interface Server {
  readonly port: number
  readonly dir: string
  readonly program: () => Program
  /** redis-cli on it; gives what it says. */
  cli(...args: string[]): Promise<string>
  kill(): Promise<void>
  /** Starts it again; `empty`: without what it held. */
  start(options?: { empty?: boolean }): Promise<void>
}

/** Files of PEM. */
export interface Certificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface ServerOptions {
  readonly args?: readonly string[]
  readonly configuration?: string
  /** It takes TLS alone, and speaks it with others of its kind. */
  readonly tls?: Certificates | undefined
}

export async function startServer(
  t: TestContext,
  { args = [], configuration, tls }: ServerOptions = {},
): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-redis-'))
  const port = await freePort()
  let program: Program | null = null
  t.after(async () => {
    await program?.stop(0)
    await rm(dir, { recursive: true, force: true })
  })
  const before = configuration === undefined ? [] : [join(dir, 'redis.conf')]
  if (configuration !== undefined) await writeFile(join(dir, 'redis.conf'), configuration)
  const cliTls = tls === undefined ? [] : ['--tls', '--cacert', tls.ca, '--cert', tls.cert, '--key', tls.key]
  const server: Server = {
    port,
    dir,
    program: () => program!,
    async cli(...command) {
      const { stdout } = await runCommand('redis-cli', ['-p', String(port), ...cliTls, ...command], {
        timeout: 5_000,
      })
      return stdout.trim()
    },
    async kill() {
      process.kill(program!.pid, 'SIGKILL')
      await program!.exited
    },
    async start({ empty = false } = {}) {
      if (empty) await rm(join(dir, 'appendonlydir'), { recursive: true, force: true })
      const ports = tls === undefined ? ['--port', String(port)] : ['--port', '0', ...tlsArgs(port, tls)]
      const here = ['--dir', dir, ...ports, '--bind', '127.0.0.1']
      const kept = args.includes('--sentinel') ? [] : ['--save', '', '--appendonly', 'yes']
      program = await startProgram('redis-server', [...before, ...here, ...kept, ...args])
      await until(`a server answers on ${port}`, () =>
        server.cli('ping').then(
          answer => answer === 'PONG',
          () => false,
        ),
      )
    },
  }
  await server.start()
  return server
}

const tlsArgs = (port: number, { ca, cert, key }: Certificates): string[] => [
  ...['--tls-port', String(port), '--tls-replication', 'yes'],
  ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca],
]

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

export interface TestCluster {
  /** The masters. */
  readonly servers: Server[]
  /** The one that has our keys. */
  readonly owner: Server
  readonly url: string
  /** A new replica of the owner, in step with it. */
  addReplica(): Promise<Server>
}

/** Three masters without replicas, each with a third of the slots. */
export async function startCluster(t: TestContext, tls?: Certificates): Promise<TestCluster> {
  const servers: Server[] = []
  const buses: string[] = []
  const startMember = async (): Promise<{ server: Server; bus: string }> => {
    const bus = String(await freePort())
    const args = [
      ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-port', bus],
      ...['--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no'],
      ...(tls === undefined ? [] : ['--tls-cluster', 'yes']),
    ]
    return { server: await startServer(t, { args, tls }), bus }
  }
  for (let index = 0; index < 3; index++) {
    const { server, bus } = await startMember()
    servers.push(server)
    buses.push(bus)
  }
  const bounds = [0, 5461, 10922, 16384]
  for (const [index, server] of servers.entries()) {
    await server.cli('cluster', 'addslotsrange', String(bounds[index]), String(bounds[index + 1]! - 1))
    await server.cli('cluster', 'set-config-epoch', String(index + 1))
  }
  for (const [index, { port }] of servers.entries()) {
    if (index > 0) await servers[0]!.cli('cluster', 'meet', '127.0.0.1', String(port), buses[index]!)
  }
  for (const server of servers) {
    await until('the cluster is whole', async () => {
      const info = await server.cli('cluster', 'info')
      return info.includes('cluster_state:ok') && info.includes('cluster_slots_assigned:16384')
    })
  }
  const slot = Number(await servers[0]!.cli('cluster', 'keyslot', '{ballast}'))
  const owner = servers[bounds.findLastIndex(bound => bound <= slot)]!
  const scheme = tls === undefined ? 'redis+cluster' : 'rediss+cluster'
  return {
    servers,
    owner,
    url: `${scheme}://${servers.map(({ port }) => `127.0.0.1:${port}`).join()}`,
    async addReplica() {
      const { server, bus } = await startMember()
      await owner.cli('cluster', 'meet', '127.0.0.1', String(server.port), bus)
      const id = await owner.cli('cluster', 'myid')
      await until('the replica knows its master', () =>
        server.cli('cluster', 'replicate', id).then(
          answer => answer === 'OK',
          () => false,
        ),
      )
      await untilInStep(server)
      for (const other of servers)
        await until('all know the replica', async () =>
          (await other.cli('cluster', 'replicas', id)).includes(String(server.port)),
        )
      return server
    },
  }
}

const untilInStep = (replica: Server): Promise<void> =>
  until('the replica is in step', async () =>
    (await replica.cli('info', 'replication')).includes('master_link_status:up'),
  )

/** A master, a replica of it, and one Sentinel that decides alone. */
export async function startSentinel(
  t: TestContext,
  tls?: Certificates,
): Promise<{ master: Server; replica: Server; sentinel: Server; url: string }> {
  const master = await startServer(t, { tls })
  const replica = await startServer(t, { tls, args: ['--replicaof', `127.0.0.1 ${master.port}`] })
  await untilInStep(replica)
  const configuration = [
    `sentinel monitor ballast 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds ballast 1000',
    'sentinel failover-timeout ballast 3000',
    '',
  ].join('\n')
  const sentinel = await startServer(t, { tls, args: ['--sentinel'], configuration })
  await until('the Sentinel knows the replica', async () =>
    (await sentinel.cli('sentinel', 'replicas', 'ballast')).includes(String(replica.port)),
  )
  const scheme = tls === undefined ? 'redis+sentinel' : 'rediss+sentinel'
  return { master, replica, sentinel, url: `${scheme}://127.0.0.1:${sentinel.port}/ballast` }
}

/** A certificate authority and a certificate for 127.0.0.1, for server and client. Gives the files. */
export async function makeCertificates(dir: string): Promise<Certificates> {
  const at = (name: string): string => join(dir, name)
  const openssl = (...args: string[]) => runCommand('openssl', args, { timeout: 20_000 })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  const [ca, caKey, cert, key] = [at('ca.pem'), at('ca.key'), at('redis.pem'), at('redis.key')]
  await openssl('req', '-x509', ...newKey, '-subj', '/CN=test authority', '-keyout', caKey, '-out', ca)
  await openssl(
    ...['req', '-x509', ...newKey, '-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-CA', ca, '-CAkey', caKey, '-keyout', key, '-out', cert],
  )
  return { ca, cert, key }
}
