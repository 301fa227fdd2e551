import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { postJson } from '../../reconciler/alerts/post.ts'

/** Answers with this status and a text without an end. */
async function listenEndlessly(t: TestContext, status: number): Promise<string> {
  const server = createServer((_, response) => {
    const text = Readable.from(
      (function* () {
        while (true) yield 'no '
      })(),
    )
    response.writeHead(status).on('close', () => text.destroy())
    text.pipe(response)
  })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('of an answer without an end the beginning is told', async t => {
  await postJson(await listenEndlessly(t, 200), '{}', {})
  await assert.rejects(postJson(await listenEndlessly(t, 400), '{}', {}), ({ message }: Error) => {
    assert.match(message, /status 400: no no /)
    return message.length < 300
  })
})
