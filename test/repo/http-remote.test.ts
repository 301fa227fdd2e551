import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { decodeJwt, jwtVerify } from 'jose'
import type { HttpCredentials } from '../../reconciler/repo/http-credentials.ts'
import type { SourceOptions } from '../../reconciler/repo/source.ts'
import { makeRemote, open, push } from './follow.ts'
import { serveGit, serveTokens, startProxy } from './git-server.ts'
import { temporaryFolder } from './make-repository.ts'

const SECRET = 'sup3r-s3cret'
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

function file(t: TestContext, content: string): string {
  const path = join(temporaryFolder(t), 'secret')
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

const http = (
  credentials: HttpCredentials,
  rest: Partial<SourceOptions['http']> = {},
): Pick<SourceOptions, 'http'> => ({
  http: { credentials, caFile: undefined, proxy: undefined, proxyPasswordFile: undefined, ...rest },
})

suite('a repository over HTTP', () => {
  test('comes whole at first, then by what is new, and nothing is fetched while nothing is new', async t => {
    const { root, work } = makeRemote(t)
    for (let index = 0; index < 4; index++) work.commit(`old ${index}`)
    const first = push(work, 'a')
    const server = await serveGit(t, root)
    const { source } = await open(t, `${server.url}/fleet.git`)
    await source.pull()
    assert.equal(await source.repository.resolve('main'), first)
    assert.equal(server.fetches(), 1)
    await source.pull()
    await source.pull()
    assert.equal(server.fetches(), 1)

    const second = push(work, 'b')
    await source.pull()
    assert.equal(await source.repository.resolve('main'), second)
    assert.equal(server.fetches(), 2)
    assert.equal(
      await source.repository.isAncestor(work.git('rev-list', '--max-parents=0', 'HEAD'), second),
      true,
    )
    const { files } = await source.repository.snapshot(second, { path: '' })
    assert.deepEqual([...files.keys()], ['a.yaml', 'b.yaml'])
  })

  test('that is large, or was rewritten, comes all the same', async t => {
    const { root, work } = makeRemote(t)
    for (let index = 0; index < 200; index++)
      work.write(`many/${index}.yaml`, `${index} ${'x'.repeat(index * 40)}`)
    push(work, 'a')
    const server = await serveGit(t, root)
    const { source } = await open(t, `${server.url}/fleet.git`)
    await source.pull()
    work.git('commit', '--quiet', '--amend', '--message', 'rewritten')
    const rewritten = push(work, 'b', '--force')
    await source.pull()
    assert.equal(await source.repository.resolve('main'), rewritten)
    assert.equal((await source.repository.snapshot(rewritten, { path: '' })).files.size, 202)
  })

  test('is trusted by an authority of its own, and not without it', async t => {
    const { root, work } = makeRemote(t)
    const head = push(work, 'a')
    const server = await serveGit(t, root, { tls: true })
    const strange = await open(t, `${server.url}/fleet.git`)
    await assert.rejects(strange.source.pull(), { code: 'GIT_REMOTE_UNTRUSTED', hint: /--git-ca-file/ })
    assert.equal(server.requests.length, 0)
    const { source } = await open(
      t,
      `${server.url}/fleet.git`,
      http({ kind: 'none' }, { caFile: server.caFile! }),
    )
    await source.pull()
    assert.equal(await source.repository.resolve('main'), head)
  })

  test('is reached through a proxy that wants a password, by CONNECT alone', async t => {
    const { root, work } = makeRemote(t)
    const head = push(work, 'a')
    const server = await serveGit(t, root, { tls: true })
    const proxy = await startProxy(t, basic('ada', SECRET))
    const through = (password: string) =>
      http(
        { kind: 'none' },
        {
          caFile: server.caFile!,
          proxy: proxy.url.replace('//', '//ada@'),
          proxyPasswordFile: file(t, password),
        },
      )
    const { source } = await open(t, `${server.url}/fleet.git`, through(`${SECRET}\n`))
    await source.pull()
    assert.equal(await source.repository.resolve('main'), head)
    assert.deepEqual([...new Set(proxy.connected)], [new URL(server.url).host])

    const refused = await open(t, `${server.url}/fleet.git`, through('wrong'))
    await assert.rejects(refused.source.pull(), { code: 'GIT_PROXY_REFUSED' })
  })
})

suite('credentials over HTTP', () => {
  const ways: [string, (t: TestContext, secret: string) => HttpCredentials, string][] = [
    [
      'a token',
      (t, secret) => ({ kind: 'token', file: file(t, `${secret}\n`), user: undefined }),
      'x-access-token',
    ],
    [
      'user and password',
      (t, secret) => ({ kind: 'basic', user: 'ada', passwordFile: file(t, secret) }),
      'ada',
    ],
  ]
  for (const [name, make, user] of ways) {
    test(`${name} from a file opens what is closed; a wrong one is named without being shown`, async t => {
      const { root, work } = makeRemote(t)
      const head = push(work, 'a')
      const server = await serveGit(t, root)
      server.manners.authorization = basic(user, SECRET)
      const { source } = await open(t, `${server.url}/fleet.git`, http(make(t, SECRET)))
      await source.pull()
      assert.equal(await source.repository.resolve('main'), head)

      const wrong = await open(t, `${server.url}/fleet.git`, http(make(t, `${SECRET}-old`)))
      await assert.rejects(wrong.source.pull(), (error: Error & { code: string; hint: string }) => {
        assert.equal(error.code, 'GIT_REMOTE_UNAUTHORIZED')
        assert.doesNotMatch(JSON.stringify([error.message, error.hint, error.stack]), new RegExp(SECRET))
        return true
      })
    })
  }

  test('a file that was changed is used at the next look', async t => {
    const { root, work } = makeRemote(t)
    push(work, 'a')
    const server = await serveGit(t, root)
    server.manners.authorization = basic('x-access-token', 'new')
    const token = file(t, 'old')
    const { source } = await open(
      t,
      `${server.url}/fleet.git`,
      http({ kind: 'token', file: token, user: undefined }),
    )
    await assert.rejects(source.pull(), { code: 'GIT_REMOTE_UNAUTHORIZED' })
    writeFileSync(token, 'new')
    await source.pull()
    const missing: HttpCredentials = { kind: 'token', file: '/nonexistent', user: undefined }
    const { source: without } = await open(t, `${server.url}/fleet.git`, http(missing))
    await assert.rejects(without.pull(), { code: 'SECRET_UNREADABLE' })
  })

  test('a GitHub App proves itself by its key, keeps its token, and gets another when it is refused', async t => {
    const { root, work } = makeRemote(t)
    push(work, 'a')
    const server = await serveGit(t, root)
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const keyFile = file(t, privateKey.export({ type: 'pkcs1', format: 'pem' }).toString())
    const asked: { path: string; jwt: string }[] = []
    const api = await serveTokens(t, (path, authorization) => {
      asked.push({ path, jwt: authorization.replace('Bearer ', '') })
      const expires_at = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+/, '')
      return {
        status: 201,
        body: { token: `ghs_${asked.length}`, expires_at, permissions: { contents: 'read' } },
      }
    })
    server.manners.authorization = basic('x-access-token', 'ghs_1')
    const credentials: HttpCredentials = {
      kind: 'github-app',
      appId: '4711',
      installationId: '42',
      keyFile,
      api,
    }
    const { source } = await open(t, `${server.url}/fleet.git`, http(credentials))
    await source.pull()
    await source.pull()
    assert.equal(asked.length, 1)
    assert.equal(asked[0]?.path, '/app/installations/42/access_tokens')
    const { payload } = await jwtVerify(asked[0]!.jwt, publicKey, { algorithms: ['RS256'], issuer: '4711' })
    assert.ok(payload.exp! - payload.iat! <= 600)

    server.manners.authorization = basic('x-access-token', 'ghs_2')
    const head = push(work, 'b')
    await source.pull()
    assert.equal(await source.repository.resolve('main'), head)
    assert.equal(asked.length, 2)
    assert.equal(decodeJwt(asked[1]!.jwt).iss, '4711')
  })

  test('a GitHub App that is refused, or whose key is none, is told from a server that is down', async t => {
    const { root } = makeRemote(t)
    const server = await serveGit(t, root)
    let status = 401
    const api = await serveTokens(t, () => ({ status, body: { message: 'no' } }))
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const keyFile = file(t, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    const app: HttpCredentials = { kind: 'github-app', appId: '1', installationId: '2', keyFile, api }
    const { source } = await open(t, `${server.url}/fleet.git`, http(app))
    await assert.rejects(source.pull(), { code: 'GIT_REMOTE_UNAUTHORIZED' })
    status = 502
    await assert.rejects(source.pull(), { code: 'GIT_REMOTE_FAILED' })
    const noKey = await open(t, `${server.url}/fleet.git`, http({ ...app, keyFile: file(t, 'no key') }))
    await assert.rejects(noKey.source.pull(), { code: 'SECRET_UNREADABLE' })
  })
})

suite('a server over HTTP that fails', () => {
  test('is told by what is wrong with it, and nothing is lost', async t => {
    const { root, work } = makeRemote(t)
    const first = push(work, 'a')
    const server = await serveGit(t, root)
    const { source } = await open(t, `${server.url}/fleet.git`, http({ kind: 'none' }, { silenceMs: 300 }))
    await source.pull()
    push(work, 'b')
    const cases: [Partial<typeof server.manners>, string][] = [
      [{ status: 404 }, 'GIT_REMOTE_NOT_FOUND'],
      [{ status: 403 }, 'GIT_REMOTE_UNAUTHORIZED'],
      [{ status: 500 }, 'GIT_REMOTE_FAILED'],
      [
        { status: 301, location: 'https://u:p@elsewhere/x.git/info/refs?service=git-upload-pack' },
        'GIT_REMOTE_MOVED',
      ],
      [{ status: 200 }, 'GIT_REMOTE_FAILED'],
      [{ silent: true }, 'GIT_REMOTE_TIMED_OUT'],
      [{ truncatePackAt: 60 }, 'GIT_REMOTE_FAILED'],
      [{ truncatePackAt: 200 }, 'GIT_REMOTE_FAILED'],
    ]
    for (const [manners, code] of cases) {
      const before = { ...server.manners }
      Object.assign(server.manners, manners)
      await assert.rejects(source.pull(), { code, retryable: true }, JSON.stringify(manners))
      Object.assign(server.manners, before)
      assert.equal(await source.repository.resolve('main'), first)
    }
    await server.stop()
    await assert.rejects(source.pull(), { code: 'GIT_REMOTE_UNREACHABLE' })
    await server.start()
    const third = push(work, 'c')
    await source.pull()
    assert.equal(await source.repository.resolve('main'), third)
  })

  test('that closes idle connections is asked again on a new one', async t => {
    const { root, work } = makeRemote(t)
    const head = push(work, 'a')
    const server = await serveGit(t, root)
    server.manners.closeReused = true
    const { source } = await open(t, `${server.url}/fleet.git`)
    await source.pull()
    assert.equal(await source.repository.resolve('main'), head)
    const before = server.requests.length
    await source.pull()
    assert.ok(server.requests.length - before > 2, 'one of them was asked twice')
  })

  test('an address with a password in it is refused, and the password is not repeated', async t => {
    await assert.rejects(open(t, `https://ada:${SECRET}@localhost/fleet.git`), ({ code, message, hint }) => {
      assert.equal(code, 'REPO_ADDRESS_INVALID')
      assert.doesNotMatch(message + hint, new RegExp(SECRET))
      return true
    })
  })
})
