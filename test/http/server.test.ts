import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { get } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { startServer } from '../../reconciler/http/server.ts'
import { createSourceReader } from '../../reconciler/http/source.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { BallastError } from '../../schemas/ballast-error.ts'
import { serveApp } from './serve-app.ts'

function temporaryFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-listen-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const failsToListen = (error: unknown): boolean =>
  error instanceof BallastError && error.code === 'LISTEN_FAILED'

describe('the server', () => {
  test('answers on a unix socket that its owner and group may use, and takes over one that was left behind', async t => {
    const { app } = await serveApp(t)
    const socket = join(temporaryFolder(t), 'http.sock')
    // Ended by a signal, a process leaves its socket behind.
    const leave = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`
    await runCommand(process.execPath, ['-e', leave]).catch(() => {})
    assert.ok(existsSync(socket))
    const server = await startServer(app, `unix:${socket}`)
    t.after(() => server.stop(0))
    assert.equal(statSync(socket).mode & 0o777, 0o660)
    const [response] = await once(get({ socketPath: socket, path: '/healthz' }), 'response')
    assert.equal(response.statusCode, 200)
    response.resume()
    await assert.rejects(startServer(app, `unix:${socket}`), failsToListen)
  })

  test('says that it cannot listen where somebody else does', async t => {
    const { app } = await serveApp(t)
    const other = createServer()
    t.after(() => other.close())
    await once(other.listen(0, '127.0.0.1'), 'listening')
    const address = other.address()
    assert.ok(address !== null && typeof address === 'object')
    await assert.rejects(startServer(app, `127.0.0.1:${address.port}`), failsToListen)
  })

  test('hangs up on who sends headers without end, too large ones, or none', async t => {
    const { url } = await serveApp(t)
    const send = async (request: string): Promise<string> => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write(request)
      return text(socket).catch(() => '')
    }
    assert.match(
      await send(`GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    )
    assert.match(await send('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /)
  })

  test('hangs up on who sends slowly', { timeout: 30_000 }, async t => {
    const { url } = await serveApp(t)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    const drip = setInterval(() => socket.write('x'), 200)
    t.after(() => clearInterval(drip))
    socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ')
    assert.match(await text(socket).catch(() => 'HTTP/1.1 408 '), /^HTTP\/1\.1 408 /)
  })
})

describe('who a request is from', () => {
  const of = (trusted: string | undefined, peer: string | undefined, forwardedFor?: string) =>
    createSourceReader(trusted)({ peer, forwardedFor }).address

  test('is its connection, unless that is a proxy of ours', () => {
    assert.equal(of(undefined, '192.0.2.1', '198.51.100.1'), '192.0.2.1')
    assert.equal(of('192.0.2.1', '192.0.2.1', '198.51.100.1'), '198.51.100.1')
    assert.equal(of('192.0.2.0/24,2001:db8::/32', '2001:db8::5', '198.51.100.1'), '198.51.100.1')
    assert.equal(of('192.0.2.0/24', '::ffff:192.0.2.9', '198.51.100.1'), '198.51.100.1')
    assert.equal(of('unix', undefined, '198.51.100.1'), '198.51.100.1')
    assert.equal(of(undefined, undefined, '198.51.100.1'), 'unix')
  })

  test('is the last that no proxy of ours has; what stands before it may be made up', () => {
    assert.equal(of('192.0.2.0/24', '192.0.2.1', '10.0.0.1, 198.51.100.1, 192.0.2.7'), '198.51.100.1')
    assert.equal(of('192.0.2.0/24', '192.0.2.1', 'nonsense'), '192.0.2.1')
    assert.equal(of('192.0.2.0/24', '192.0.2.1', '198.51.100.1, nonsense'), '192.0.2.1')
    assert.equal(of('192.0.2.0/24', '192.0.2.1'), '192.0.2.1')
  })

  test('is counted as one for all addresses of an IPv6 network of 64 bits', () => {
    const counted = (peer: string) => createSourceReader(undefined)({ peer, forwardedFor: undefined }).counted
    assert.equal(counted('2001:db8::1'), counted('2001:db8::ffff:1'))
    assert.notEqual(counted('2001:db8::1'), counted('2001:db8:0:1::1'))
    assert.notEqual(counted('192.0.2.1'), counted('192.0.2.2'))
  })
})
