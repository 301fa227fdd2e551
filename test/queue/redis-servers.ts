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

export async function startServer(
  t: TestContext,
  args: readonly string[] = [],
  configuration: string | null = null,
): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-redis-'))
  const port = await freePort()
  let program: Program | null = null
  t.after(async () => {
    await program?.stop(0)
    await rm(dir, { recursive: true, force: true })
  })
  const before = configuration === null ? [] : [join(dir, 'redis.conf')]
  if (configuration !== null) await writeFile(join(dir, 'redis.conf'), configuration)
  const tls = args.includes('--tls-cert-file')
  const server: Server = {
    port,
    dir,
    program: () => program!,
    async cli(...command) {
      const { stdout } = await runCommand('redis-cli', ['-p', String(port), ...command], { timeout: 5_000 })
      return stdout.trim()
    },
    async kill() {
      process.kill(program!.pid, 'SIGKILL')
      await program!.exited
    },
    async start({ empty = false } = {}) {
      if (empty) await rm(join(dir, 'appendonlydir'), { recursive: true, force: true })
      const here = [
        '--dir',
        dir,
        ...(tls ? ['--port', '0', '--tls-port', String(port)] : ['--port', String(port)]),
        '--bind',
        '127.0.0.1',
      ]
      const kept = args.includes('--sentinel') ? [] : ['--save', '', '--appendonly', 'yes']
      program = await startProgram('redis-server', [...before, ...here, ...kept, ...args])
      if (!tls) {
        await until(`a server answers on ${port}`, () =>
          server.cli('ping').then(
            answer => answer === 'PONG',
            () => false,
          ),
        )
      }
    },
  }
  await server.start()
  return server
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Three masters without replicas, each with a third of the slots. */
export async function startCluster(
  t: TestContext,
): Promise<{ servers: Server[]; owner: Server; url: string }> {
  const servers: Server[] = []
  const buses: string[] = []
  for (let index = 0; index < 3; index++) {
    const bus = String(await freePort())
    buses.push(bus)
    servers.push(
      await startServer(t, [
        ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-port', bus],
        ...['--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no'],
      ]),
    )
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
  return { servers, owner, url: `redis+cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join()}` }
}

/** A master, a replica of it, and one Sentinel that decides alone. */
export async function startSentinel(
  t: TestContext,
): Promise<{ master: Server; replica: Server; sentinel: Server; url: string }> {
  const master = await startServer(t)
  const replica = await startServer(t, ['--replicaof', `127.0.0.1 ${master.port}`])
  await until('the replica is in step', async () =>
    (await replica.cli('info', 'replication')).includes('master_link_status:up'),
  )
  const sentinel = await startServer(
    t,
    ['--sentinel'],
    [
      `sentinel monitor ballast 127.0.0.1 ${master.port} 1`,
      'sentinel down-after-milliseconds ballast 1000',
      'sentinel failover-timeout ballast 3000',
      '',
    ].join('\n'),
  )
  await until('the Sentinel knows the replica', async () =>
    (await sentinel.cli('sentinel', 'replicas', 'ballast')).includes(String(replica.port)),
  )
  return { master, replica, sentinel, url: `redis+sentinel://127.0.0.1:${sentinel.port}/ballast` }
}

/** A certificate authority and a certificate for 127.0.0.1, for server and client. Gives the files. */
export async function makeCertificates(dir: string): Promise<{ ca: string; cert: string; key: string }> {
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
