import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Forge, PushPayload } from '../../schemas/api/webhook.ts'
import { arbitraryOf } from '../schemas/arbitrary-of.ts'
import { SECRET, SIGNING_TOKEN, serveApp } from './serve-app.ts'
import { generic, gitea, github, gitlab, gitlabSigned } from './sign.ts'

const seconds = (): number => Math.floor(Date.now() / 1000)

const bodies = fc.oneof(
  fc.json(),
  fc.string({ unit: 'binary' }),
  fc.uint8Array().map(bytes => Buffer.from(bytes).toString('latin1')),
  arbitraryOf(PushPayload).map(payload => JSON.stringify(payload)),
  fc.jsonValue().map(value => JSON.stringify({ ref: value, object_kind: value, event_name: value })),
  fc.constantFrom(
    '{"__proto__":{"ref":"refs/heads/main"}}',
    '{"ref":"refs/heads/main","ref":1}',
    `${'{"a":'.repeat(5000)}1`,
  ),
)

const deliveries = fc
  .tuple(
    bodies,
    fc.string({ unit: 'grapheme-ascii' }).map(text => text.trim()),
  )
  .chain(([body, event]) =>
    fc.constantFrom(
      { forge: 'github', ...github(SECRET, body, event) },
      { forge: 'github', ...github('wrong', body, event) },
      { forge: 'gitea', ...gitea(SECRET, body, event) },
      { forge: 'gitlab', ...gitlab(SECRET, body) },
      { forge: 'gitlab', ...gitlabSigned(SIGNING_TOKEN, seconds(), body) },
      { forge: 'generic', ...generic(SECRET, seconds(), body) },
    ),
  )

test('whatever a webhook carries, the answer is one that is documented, and the server lives', async t => {
  const app = await serveApp(t, { trustedProxies: '127.0.0.1' })
  await fc.assert(
    fc.asyncProperty(deliveries, fc.ipV4(), async ({ forge, headers, body }, source) => {
      const sent = { method: 'POST', headers: { ...headers, 'x-forwarded-for': source }, body }
      const response = await app.fetch(`/webhook/${forge}`, sent)
      assert.ok([202, 400, 401].includes(response.status), `${response.status} ${await response.text()}`)
    }),
    { numRuns: 600 },
  )
  assert.equal((await app.fetch('/healthz')).status, 200)
})

test('whatever is asked of any route, the server does not fail', async t => {
  const app = await serveApp(t, { trustedProxies: '127.0.0.1' })
  const names = fc.constantFrom(
    ...['authorization', 'last-event-id', 'content-type', 'x-ballast-timestamp'],
    ...['x-hub-signature-256', 'x-gitlab-token', 'webhook-signature', 'x-gitea-signature', 'accept'],
  )
  const values = fc.string({ unit: 'grapheme-ascii' }).map(text => text.trim())
  const paths = fc.oneof(
    fc.constantFrom(...Forge.options.map(forge => `/webhook/${forge}`)),
    fc.constantFrom('/api/v1/state', '/api/v1/plan', '/readyz', '/api/v1/reconcile'),
    fc.webPath(),
  )
  const requests = fc.record({
    path: paths,
    query: fc.webQueryParameters(),
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'),
    headers: fc.dictionary(names, values),
  })
  // Each from another source, or from one that is none: nobody sends too much.
  const forwarded = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.tuple(fc.ipV4(), values).map(([ip, junk]) => `${junk}, ${ip}`),
  )
  await fc.assert(
    fc.asyncProperty(requests, forwarded, async ({ path, query, method, headers }, source) => {
      const all = { ...headers, 'x-forwarded-for': source }
      const response = await app.fetch(`${path}?${query}`, { method, headers: all })
      await response.arrayBuffer()
      assert.ok(response.status < 500, `${response.status}`)
    }),
    { numRuns: 300 },
  )
})
