import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { temporaryFolder } from '../repo/make-repository.ts'

export const ALERTMANAGER = '/usr/bin/prometheus-alertmanager'

export interface Listener {
  readonly url: string
  readonly requests: { readonly headers: Record<string, unknown>; readonly body: string }[]
  /** Answered to all from now on. */
  status: number
}

/** Takes POSTs and remembers them. */
export async function listen(t: Pick<TestContext, 'after'>): Promise<Listener> {
  const requests: { headers: Record<string, unknown>; body: string }[] = []
  const server: Server = createServer(async (request, response) => {
    const body = await text(request)
    if (listener.status === 200) requests.push({ headers: request.headers, body })
    response.writeHead(listener.status).end('said by the receiver')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const listener = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    status: 200,
  }
  return listener
}

/** A real Alertmanager that tells `to` of every change at once. */
export async function startAlertmanager(t: Pick<TestContext, 'after'>, to: string): Promise<string> {
  const dir = temporaryFolder(t)
  const config = {
    route: {
      receiver: 'test',
      group_by: ['node'],
      group_wait: '10ms',
      group_interval: '100ms',
      repeat_interval: '1h',
    },
    receivers: [{ name: 'test', webhook_configs: [{ url: to, send_resolved: true }] }],
  }
  writeFileSync(join(dir, 'alertmanager.yml'), JSON.stringify(config))
  const port = await freePort()
  const flags = ['--cluster.listen-address=', `--web.listen-address=127.0.0.1:${port}`, '--log.level=error']
  const child = spawn(
    ALERTMANAGER,
    [`--config.file=${join(dir, 'alertmanager.yml')}`, `--storage.path=${dir}`, ...flags],
    { stdio: 'ignore' },
  )
  t.after(() => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; tries < 200; tries++) {
    const ready = await fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready) return url
    await delay(50)
  }
  throw new Error('Alertmanager does not answer')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
