import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { temporaryFolder } from './make-repository.ts'

export const SSHD = '/usr/sbin/sshd'

export interface SshServer {
  /** Add a path. */
  readonly url: string
  readonly keyFile: string
  readonly knownHostsFile: string
  /** A key that the server does not know. */
  readonly strangeKeyFile: string
  stop(): Promise<void>
}

/** A real sshd with keys, settings and a port of its own, for the user that runs the test. */
export async function serveSsh(t: Pick<TestContext, 'after'>): Promise<SshServer> {
  const dir = temporaryFolder(t)
  chmodSync(dir, 0o755)
  const makeKey = (name: string): string => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)])
    return join(dir, name)
  }
  const [hostKey, keyFile, strangeKeyFile] = [makeKey('host'), makeKey('client'), makeKey('stranger')]
  const port = await freePort()
  writeFileSync(join(dir, 'authorized_keys'), readFileSync(`${keyFile}.pub`))
  writeFileSync(join(dir, 'known_hosts'), `[127.0.0.1]:${port} ${readFileSync(`${hostKey}.pub`, 'utf8')}`)
  writeFileSync(
    join(dir, 'sshd_config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${join(dir, 'authorized_keys')}`,
      'PidFile none',
      'UsePAM no',
      'StrictModes no',
      'PasswordAuthentication no',
      'PermitRootLogin prohibit-password',
      'AcceptEnv GIT_PROTOCOL',
      '',
    ].join('\n'),
  )
  // Debian's sshd wants it, and its service would make it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true })
  const server = spawn(SSHD, ['-D', '-e', '-f', join(dir, 'sshd_config')], { stdio: 'ignore' })
  t.after(() => end(server))
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 100 || server.exitCode !== null) throw new Error('sshd does not start')
    await delay(50)
  }
  return {
    url: `ssh://${userInfo().username}@127.0.0.1:${port}`,
    keyFile,
    knownHostsFile: join(dir, 'known_hosts'),
    strangeKeyFile,
    stop: () => end(server),
  }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  return port
}

const answers = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  server.kill('SIGTERM')
  await new Promise(resolve => server.once('exit', resolve))
}
