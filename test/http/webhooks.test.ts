import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Problem } from '../../schemas/api/problem.ts'
import { WebhookAnswer } from '../../schemas/api/webhook.ts'
import { sendStorm } from './send-storm.ts'
import { SECRET, type ServedApp, SIGNING_TOKEN, serveApp } from './serve-app.ts'
import { type Delivery, generic, gitea, github, gitlab, gitlabSigned, hmacHex, pushBody } from './sign.ts'

const send = (app: ServedApp, forge: string, delivery: Delivery): Promise<Response> =>
  app.fetch(`/webhook/${forge}`, { method: 'POST', ...delivery })

const change = (delivery: Delivery, headers: Record<string, string | null>): Delivery => ({
  ...delivery,
  headers: Object.fromEntries(
    Object.entries({ ...delivery.headers, ...headers }).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    ),
  ),
})

async function refused(response: Response, status: number, code: string): Promise<void> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const problem = Problem.parse(await response.json())
  assert.deepEqual({ status: problem.status, code: problem.code }, { status, code })
  assert.equal(response.status, status)
}

async function answered(response: Response, result: WebhookAnswer['result']): Promise<void> {
  assert.equal(response.status, 202)
  assert.equal(WebhookAnswer.parse(await response.json()).result, result)
}

const seconds = (): number => Math.floor(Date.now() / 1000)

const signed: [string, string, () => Delivery][] = [
  ['GitHub', 'github', () => github(SECRET)],
  ['Gitea', 'gitea', () => gitea(SECRET)],
  ['Gitea as GitHub signs', 'gitea', () => github(SECRET)],
  [
    'Forgejo',
    'gitea',
    () => {
      const { body, headers } = gitea(SECRET)
      const renamed = Object.entries(headers).map(([name, value]) => [
        name.replace('gitea', 'forgejo'),
        value,
      ])
      return { body, headers: Object.fromEntries(renamed) }
    },
  ],
  ['GitLab with a secret token', 'gitlab', () => gitlab(SECRET)],
  ['GitLab with a signing token', 'gitlab', () => gitlabSigned(SIGNING_TOKEN, seconds())],
  ['whatever signs as documented', 'generic', () => generic(SECRET, seconds())],
]

describe('a push', () => {
  for (const [title, forge, make] of signed) {
    test(`of ${title} makes the branch be looked at, once however often it is sent`, async t => {
      const app = await serveApp(t)
      const delivery = make()
      await answered(await send(app, forge, delivery), 'looking')
      await answered(await send(app, forge, delivery), 'duplicate')
      assert.equal(app.looks(), 1)
    })
  }

  test('to another branch, a tag or something else than a push is taken and ignored', async t => {
    const app = await serveApp(t)
    for (const ref of ['refs/heads/other', 'refs/heads/main2', 'refs/tags/main'])
      await answered(await send(app, 'github', github(SECRET, pushBody(ref))), 'ignored')
    await answered(await send(app, 'github', github(SECRET, '{"zen":"…"}', 'star')), 'ignored')
    await answered(await send(app, 'github', github(SECRET, '{"zen":"…"}', 'ping')), 'pong')
    assert.equal(app.looks(), 0)
  })
})

describe('a pull request', () => {
  const pull = (action: string, number = 7) =>
    JSON.stringify({ action, number, pull_request: { state: 'open' } })
  const merge = (action: string, iid = 7) =>
    JSON.stringify({ object_kind: 'merge_request', object_attributes: { iid, action, oldrev: 'x' } })
  const news: [string, string, Delivery][] = [
    ['GitHub', 'github', github(SECRET, pull('opened'), 'pull_request')],
    ['Gitea', 'gitea', gitea(SECRET, pull('opened'), 'pull_request')],
    ['Gitea, with new commits', 'gitea', gitea(SECRET, pull('synchronized'), 'pull_request_sync')],
    ['GitLab', 'gitlab', gitlab(SECRET, merge('update'))],
  ]
  for (const [title, forge, delivery] of news)
    test(`of ${title} is reviewed, once however often it is sent`, async t => {
      const asked: number[] = []
      const app = await serveApp(t, { review: number => asked.push(number) })
      await answered(await send(app, forge, delivery), 'reviewing')
      await answered(await send(app, forge, delivery), 'duplicate')
      assert.deepEqual([asked, app.looks()], [[7], 0])
    })

  test('that nothing new is said of, or where none are reviewed, is ignored', async t => {
    const asked: number[] = []
    const app = await serveApp(t, { review: number => asked.push(number) })
    for (const action of ['closed', 'labeled', 'assigned'])
      await answered(await send(app, 'github', github(SECRET, pull(action), 'pull_request')), 'ignored')
    await answered(await send(app, 'gitlab', gitlab(SECRET, merge('merge'))), 'ignored')
    const none = await serveApp(t)
    await answered(await send(none, 'github', github(SECRET, pull('opened'), 'pull_request')), 'ignored')
    assert.deepEqual(asked, [])
  })

  test('without a number that can be one is refused', async t => {
    const asked: number[] = []
    const app = await serveApp(t, { review: number => asked.push(number) })
    for (const number of ['-1', '1.5', '"7"', '1e99'])
      await refused(
        await send(app, 'github', github(SECRET, `{"action":"opened","number":${number}}`, 'pull_request')),
        400,
        'PAYLOAD_INVALID',
      )
    assert.deepEqual(asked, [])
  })
})

describe('nothing happens', () => {
  const wrong: [string, string, Delivery, string][] = [
    [
      'without a signature',
      'github',
      change(github(SECRET), { 'x-hub-signature-256': null }),
      'SIGNATURE_MISSING',
    ],
    ['with the signature of another secret', 'github', github('guess'), 'SIGNATURE_WRONG'],
    [
      'with an empty signature',
      'github',
      change(github(SECRET), { 'x-hub-signature-256': '' }),
      'SIGNATURE_WRONG',
    ],
    [
      'with the signature of another body',
      'gitea',
      { ...gitea(SECRET), body: pushBody('refs/heads/x') },
      'SIGNATURE_WRONG',
    ],
    [
      'with SHA-1, which GitHub sends too',
      'github',
      change(github(SECRET), { 'x-hub-signature-256': null, 'x-hub-signature': `sha1=${'0'.repeat(40)}` }),
      'SIGNATURE_MISSING',
    ],
    ['with a wrong token', 'gitlab', gitlab('guess'), 'SIGNATURE_WRONG'],
    ['with a signing token sent as it is', 'gitlab', gitlab(SIGNING_TOKEN), 'SIGNATURE_WRONG'],
    [
      'with another id than was signed',
      'gitlab',
      change(gitlabSigned(SIGNING_TOKEN, seconds()), { 'webhook-id': 'another' }),
      'SIGNATURE_WRONG',
    ],
    [
      'with a signature of ten minutes ago',
      'gitlab',
      gitlabSigned(SIGNING_TOKEN, seconds() - 600),
      'SIGNATURE_OLD',
    ],
    ['with a signature of long ago', 'generic', generic(SECRET, seconds() - 301), 'SIGNATURE_OLD'],
    ['with a signature of the future', 'generic', generic(SECRET, seconds() + 600), 'SIGNATURE_OLD'],
    ['with a time that is none', 'generic', generic(SECRET, Number.NaN), 'SIGNATURE_OLD'],
    [
      'with a time put in place of the signed one',
      'generic',
      change(generic(SECRET, seconds() - 600), { 'x-ballast-timestamp': String(seconds()) }),
      'SIGNATURE_WRONG',
    ],
    [
      'without a time',
      'generic',
      change(generic(SECRET, seconds()), { 'x-ballast-timestamp': null }),
      'SIGNATURE_MISSING',
    ],
    ['with the proof of another forge', 'gitlab', github(SECRET), 'SIGNATURE_MISSING'],
  ]
  for (const [title, forge, delivery, code] of wrong) {
    test(`${title} (401)`, async t => {
      const app = await serveApp(t)
      await refused(await send(app, forge, delivery), 401, code)
      assert.equal(app.looks(), 0)
    })
  }

  test('with a body, an event or a content type that is none', async t => {
    const app = await serveApp(t)
    for (const body of ['', '{', '[]', 'null', '{"ref":5}', '{"ref":"main"}', '['.repeat(100_000)])
      await refused(await send(app, 'github', github(SECRET, body)), 400, 'PAYLOAD_INVALID')
    await refused(
      await send(app, 'github', change(github(SECRET), { 'x-github-event': null })),
      400,
      'PAYLOAD_INVALID',
    )
    const form = change(github(SECRET), { 'content-type': 'application/x-www-form-urlencoded' })
    await refused(await send(app, 'github', form), 415, 'CONTENT_TYPE_UNKNOWN')
    await refused(await send(app, 'bitbucket', github(SECRET)), 404, 'FORGE_UNKNOWN')
    assert.equal(app.looks(), 0)
  })

  test('when no secret is configured', async t => {
    const app = await serveApp(t, { webhookSecretFile: undefined })
    await refused(await send(app, 'github', github('')), 401, 'WEBHOOKS_OFF')
    assert.equal(app.looks(), 0)
  })

  test('with a body that is too large, whether it says so or not (413)', async t => {
    const app = await serveApp(t)
    const large = github(SECRET, pushBody().replace('}', `,"x":"${'x'.repeat(2 * 1024 * 1024)}"}`))
    await refused(await send(app, 'github', large), 413, 'BODY_TOO_LARGE')
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const chunked = request(
        `${app.url}/webhook/github`,
        { method: 'POST', headers: large.headers },
        response => {
          response.resume()
          resolve(response.statusCode)
        },
      )
      chunked.once('error', reject)
      // Without a length, in parts.
      for (let at = 0; at < large.body.length; at += 65_536) chunked.write(large.body.slice(at, at + 65_536))
      chunked.end()
    })
    assert.equal(status, 413)
    assert.equal(app.looks(), 0)
  })
})

test('a delivery that was refused may be sent again', async t => {
  const app = await serveApp(t)
  const delivery = github(SECRET)
  await refused(await send(app, 'github', { ...delivery, body: '{}' }), 401, 'SIGNATURE_WRONG')
  await answered(await send(app, 'github', delivery), 'looking')
})

test('who sends too much is told when to come back, before anything is checked; others are not', async t => {
  const app = await serveApp(t, { trustedProxies: '127.0.0.0/8' })
  const from = (address: string): Delivery =>
    change(github(SECRET), { 'x-forwarded-for': `8.8.8.8, ${address}` })
  const statuses = await sendStorm(
    `${app.url}/webhook/github`,
    Array.from({ length: 1510 }, () => from('192.0.2.1')),
  )
  assert.equal(statuses.filter(status => status === 202).length, 1500)
  assert.equal(statuses.filter(status => status === 429).length, 10)
  const response = await send(app, 'github', change(from('192.0.2.1'), { 'x-hub-signature-256': null }))
  assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  await refused(response, 429, 'TOO_MANY_REQUESTS')
  await answered(await send(app, 'github', from('192.0.2.2')), 'looking')
})

test('who guesses secrets is stopped long before that, with the right one too', async t => {
  const app = await serveApp(t)
  const guesses = Array.from({ length: 100 }, (_, n) => github(`guess ${n}`))
  const statuses = await sendStorm(`${app.url}/webhook/github`, guesses)
  assert.deepEqual(new Set(statuses), new Set([401, 429]))
  await refused(await send(app, 'github', github(SECRET)), 429, 'TOO_MANY_REQUESTS')
  assert.equal(app.looks(), 0)
})

test('X-Forwarded-For of those who are no proxy of ours is not believed', async t => {
  const app = await serveApp(t)
  for (let n = 0; n < 70; n++) {
    await send(app, 'github', change(github('guess'), { 'x-forwarded-for': `192.0.2.${n}` }))
  }
  await refused(
    await send(app, 'github', change(github(SECRET), { 'x-forwarded-for': '192.0.2.99' })),
    429,
    'TOO_MANY_REQUESTS',
  )
})

test('a secret that is replaced holds at once, and a file that breaks leaves the old ones', async t => {
  const app = await serveApp(t)
  const file = join(app.dir, 'webhook.secret')
  writeFileSync(file, 'the next secret, and longer')
  app.clock.now += 2_000
  await answered(await send(app, 'github', github('the next secret, and longer')), 'looking')
  await refused(await send(app, 'github', github(SECRET)), 401, 'SIGNATURE_WRONG')
  writeFileSync(file, '\n# nothing\n')
  app.clock.now += 2_000
  await answered(await send(app, 'github', github('the next secret, and longer')), 'looking')
  assert.match(app.log(), /webhookSecretFile cannot be used; what it said before stays/)
})

test('no secret, signature or token is in the log', async t => {
  const app = await serveApp(t)
  const bad = github('guess')
  await send(app, 'github', bad)
  await send(app, 'gitlab', gitlab('a token that is wrong'))
  await app.fetch('/api/v1/state?token=in-the-query', { token: 'wrong-token' })
  const said = app.log()
  assert.match(said, /\/webhook\/github/)
  for (const secret of [
    SECRET,
    bad.headers['x-hub-signature-256']!,
    'a token that is wrong',
    'wrong-token',
    'in-the-query',
    hmacHex(SECRET, ''),
  ])
    assert.ok(!said.includes(secret), secret)
})
