import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { DriftList, ReportList, RevisionAnswer } from '../../schemas/api/answers.ts'
import { Problem } from '../../schemas/api/problem.ts'
import { Readiness } from '../../schemas/api/readiness.ts'
import { BallastError } from '../../schemas/ballast-error.ts'
import { FleetStatus, NodeStatus } from '../../schemas/fleet-status.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { makeFleet, repository, serveApp, TOKENS } from './serve-app.ts'

const GUARDED = ['state', 'nodes/lb-1', 'plan', 'reports', 'drift', 'revisions', 'events'].map(
  path => `/api/v1/${path}`,
)

const problemOf = async (response: Response): Promise<string> => {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  return Problem.parse(await response.json()).code
}

describe('tokens', () => {
  test('nobody without one, or with one that is none of ours, sees anything (401)', async t => {
    const app = await serveApp(t)
    for (const path of GUARDED) {
      const missing = await app.fetch(path)
      assert.equal(missing.status, 401)
      assert.equal(missing.headers.get('www-authenticate'), 'Bearer realm="ballast"')
      assert.equal(await problemOf(missing), 'TOKEN_MISSING')
      const wrong = await app.fetch(path, { token: 'guess' })
      assert.equal(wrong.status, 401)
      assert.match(wrong.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
      assert.equal(await problemOf(wrong), 'TOKEN_UNKNOWN')
    }
    const basic = await app.fetch('/api/v1/state', { headers: { authorization: `Basic ${TOKENS.read}` } })
    assert.equal(basic.status, 401)
  })

  test('a token that may read sees everything and may not operate (403); one that operates may both', async t => {
    const app = await serveApp(t)
    const post = (token: string) => app.fetch('/api/v1/reconcile', { method: 'POST', token })
    assert.equal((await app.fetch('/api/v1/state', { token: TOKENS.read })).status, 200)
    const refused = await post(TOKENS.read)
    assert.equal(refused.status, 403)
    assert.match(refused.headers.get('www-authenticate') ?? '', /error="insufficient_scope"/)
    assert.equal(await problemOf(refused), 'ROLE_TOO_LOW')
    assert.equal(app.looks(), 0)
    assert.equal((await post(TOKENS.operate)).status, 202)
    assert.equal(app.looks(), 1)
    assert.equal((await app.fetch('/api/v1/state', { token: TOKENS.operate })).status, 200)
  })

  test('a token that is taken out of the file holds no more', async t => {
    const app = await serveApp(t)
    writeFileSync(join(app.dir, 'tokens.yaml'), 'tokens: []\n')
    app.clock.now += 2_000
    assert.equal((await app.fetch('/api/v1/state', { token: TOKENS.read })).status, 401)
  })

  test('without a file nobody may', async t => {
    const app = await serveApp(t, { apiTokensFile: undefined })
    assert.equal((await app.fetch('/api/v1/state', { token: TOKENS.read })).status, 401)
  })

  test('who guesses is stopped (429)', async t => {
    const app = await serveApp(t)
    for (let n = 0; n < 61; n++) await app.fetch('/api/v1/state', { token: `guess-${n}` })
    const stopped = await app.fetch('/api/v1/state', { token: TOKENS.read })
    assert.equal(stopped.status, 429)
    assert.ok(Number(stopped.headers.get('retry-after')) >= 1)
  })

  for (const [what, text] of [
    ['is no YAML', 'tokens: ['],
    ['holds a token itself', 'tokens: [{name: a, role: read, sha256: secret}]'],
    ['names a role that is none', `tokens: [{name: a, role: admin, sha256: ${'0'.repeat(64)}}]`],
    ['says more than it should', `tokens: []\nrole: read`],
  ] as const) {
    test(`a file that ${what} keeps the reconciler from starting, and is not quoted`, async t => {
      const app = await serveApp(t)
      const file = join(app.dir, 'bad.yaml')
      writeFileSync(file, text)
      await assert.rejects(serveApp(t, { apiTokensFile: file }), (error: unknown) => {
        assert.ok(error instanceof BallastError)
        assert.equal(error.code, 'SECRET_FILE_UNUSABLE')
        assert.ok(!error.message.includes('secret}'))
        return true
      })
    })
  }
})

describe('answers', () => {
  test('are of the schemas that the documentation names', async t => {
    const app = await serveApp(t)
    const get = async (path: string): Promise<unknown> =>
      (await app.fetch(`/api/v1/${path}`, { token: TOKENS.read })).json()
    const state = FleetStatus.parse(await get('state'))
    assert.deepEqual(NodeStatus.parse(await get('nodes/lb-1')).name, state.nodes[0]?.name)
    assert.deepEqual(
      ReportList.parse(await get('reports')).reports.map(({ node }) => node),
      ['lb-1'],
    )
    assert.deepEqual(DriftList.parse(await get('drift')), { drift: [] })
    assert.deepEqual(RevisionAnswer.parse(await get('revisions')), { repository })
    FleetPlan.parse(await get('plan'))
  })

  test('say what is wrong with what was asked', async t => {
    const app = await serveApp(t, {
      fleet: { ...makeFleet([]), plan: async ({ to }) => `${to} is no revision.` },
    })
    const ask = (path: string) => app.fetch(`/api/v1/${path}`, { token: TOKENS.read })
    const unknown = await ask('nodes/lb-9')
    assert.deepEqual([unknown.status, await problemOf(unknown)], [404, 'NODE_UNKNOWN'])
    for (const query of ['to=--upload-pack%3Dx', 'to=a%00b', 'to=', 'form=main', `to=${'x'.repeat(201)}`]) {
      const invalid = await ask(`plan?${query}`)
      assert.deepEqual([invalid.status, await problemOf(invalid)], [400, 'QUERY_INVALID'], query)
    }
    const impossible = await ask('plan?to=nowhere')
    assert.deepEqual([impossible.status, await problemOf(impossible)], [422, 'PLAN_IMPOSSIBLE'])
    const nothing = await ask('nothing')
    assert.deepEqual([nothing.status, await problemOf(nothing)], [404, 'ROUTE_UNKNOWN'])
  })

  test('of I/O that failed say how, and those of a fault say nothing of it', async t => {
    let fault: Error = new BallastError({
      code: 'REDIS_UNREACHABLE',
      message: 'Redis at r:1 does not answer',
      hint: 'Start it.',
      retryable: true,
    })
    const fails = async () => {
      throw fault
    }
    const app = await serveApp(t, { fleet: { ...makeFleet([]), readStatus: fails } })
    const ask = () => app.fetch('/api/v1/state', { token: TOKENS.read })
    const away = await ask()
    assert.deepEqual([away.status, away.headers.get('retry-after')], [503, '5'])
    assert.equal(await problemOf(away), 'REDIS_UNREACHABLE')
    fault = new TypeError('a detail of /etc/secret')
    const broken = await ask()
    const text = await broken.text()
    assert.equal(broken.status, 500)
    assert.ok(!text.includes('secret') && !text.includes('.ts'), text)
    assert.match(app.log(), /a detail of \/etc\/secret/)
  })

  test('carry what keeps a browser from doing more with them', async t => {
    const app = await serveApp(t)
    for (const path of ['/healthz', '/api/v1/state', '/nothing']) {
      const { headers } = await app.fetch(path)
      assert.equal(headers.get('x-content-type-options'), 'nosniff')
      assert.equal(headers.get('cache-control'), 'no-store')
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/)
    }
  })

  test('of plans come one at a time, and few may wait', async t => {
    const gates: (() => void)[] = []
    let running = 0
    let most = 0
    const fleet = makeFleet([])
    const app = await serveApp(t, {
      fleet: {
        ...fleet,
        async plan(query) {
          running++
          most = Math.max(most, running)
          await new Promise<void>(resolve => gates.push(resolve))
          running--
          return fleet.plan(query)
        },
      },
    })
    const asked = Array.from({ length: 8 }, () => app.fetch('/api/v1/plan', { token: TOKENS.read }))
    const statuses: number[] = []
    for (const each of asked) void each.then(({ status }) => statuses.push(status))
    const end = Date.now() + 10_000
    while (statuses.length < 8 && Date.now() < end) {
      if (statuses.filter(status => status === 503).length === 3) gates.shift()?.()
      await setImmediate()
    }
    assert.deepEqual(statuses.sort(), [200, 200, 200, 200, 200, 503, 503, 503])
    assert.equal(most, 1)
  })
})

describe('readiness', () => {
  const ready = async (app: { fetch(path: string): Promise<Response> }) => {
    const response = await app.fetch('/readyz')
    return { status: response.status, checks: Readiness.parse(await response.json()).checks }
  }

  test('is there when Redis answers and a revision is accepted, though the head is refused', async t => {
    const at = { file: 'a.yaml', line: 1, column: 1 }
    const diagnostic = { rule: 'x', severity: 'error' as const, message: 'It is broken.', hint: '', at }
    const rejected = { revision: 'c'.repeat(40), diagnostics: [diagnostic], at: 0 }
    const app = await serveApp(t, { fleet: makeFleet([], { ...repository, rejected }) })
    const { status, checks } = await ready(app)
    assert.equal(status, 200)
    assert.match(
      checks.find(({ name }) => name === 'revision')?.detail ?? '',
      /accepted.*refused: It is broken/,
    )
  })

  test('is not before a revision is accepted, and says so', async t => {
    const app = await serveApp(t, { fleet: makeFleet([], { ...repository, accepted: null }) })
    const { status, checks } = await ready(app)
    assert.equal(status, 503)
    assert.deepEqual(
      checks.map(({ name, ok }) => [name, ok]),
      [
        ['redis', true],
        ['revision', false],
      ],
    )
  })

  test('is not without Redis; alive it is all the same', async t => {
    const fleet = makeFleet([])
    const app = await serveApp(t, {
      fleet: {
        ...fleet,
        readStatus: async () => {
          throw new Error('Redis does not answer')
        },
      },
    })
    const { status, checks } = await ready(app)
    assert.deepEqual([status, checks], [503, [{ name: 'redis', ok: false, detail: 'Redis does not answer' }]])
    assert.equal((await app.fetch('/healthz')).status, 200)
    assert.match(await (await app.fetch('/metrics')).text(), /^ballast_queue_reachable 0$/m)
  })
})
