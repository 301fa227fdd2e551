import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { makeRemote, open, push } from './follow.ts'
import { temporaryFolder } from './make-repository.ts'
import { SSHD, type SshServer, serveSsh } from './ssh-server.ts'

const skip = !existsSync(SSHD) && 'needs sshd (Debian: openssh-server)'

suite('a repository over SSH, by a real sshd', { skip }, () => {
  let server: SshServer
  const ends: (() => unknown)[] = []
  before(async () => {
    server = await serveSsh({ after: end => ends.push(end as () => unknown) })
  })
  after(async () => {
    for (const end of ends.reverse()) await end()
  })
  const trusted = () => ({ keyFile: server.keyFile, knownHostsFile: server.knownHostsFile })

  test('comes whole with a deploy key, and then by what is new; its default branch is known', async t => {
    const { root, work } = makeRemote(t)
    push(work, 'a')
    const { source } = await open(t, `${server.url}${root}/fleet.git`, { ssh: trusted(), branch: undefined })
    assert.equal(await source.branch(), null)
    await source.pull()
    assert.equal(await source.branch(), 'main')
    const head = push(work, 'b')
    await source.pull()
    assert.equal(await source.repository.resolve('main'), head)
    assert.deepEqual(
      [...(await source.repository.snapshot(head, { path: '' })).files.keys()],
      ['a.yaml', 'b.yaml'],
    )
    assert.deepEqual(await source.problems(), [])
    work.git('push', '--quiet', 'origin', 'main:other')
    work.git(`--git-dir=${root}/fleet.git`, 'symbolic-ref', 'HEAD', 'refs/heads/other')
    work.git('push', '--quiet', 'origin', ':main')
    await source.pull()
    assert.deepEqual(
      (await source.problems()).map(({ rule }) => rule),
      ['branch-missing', 'default-branch-moved'],
    )
    assert.equal(await source.branch(), 'main')
  })

  test('is refused when its host key is unknown or another one, and nothing of it is used', async t => {
    const { root, work } = makeRemote(t)
    push(work, 'a')
    const empty = join(temporaryFolder(t), 'known hosts')
    writeFileSync(empty, '# none\n')
    const strangers: string[] = [empty, join(temporaryFolder(t), "it's 100% other")]
    const key = readFileSync(`${server.strangeKeyFile}.pub`, 'utf8')
    writeFileSync(strangers[1]!, `[127.0.0.1]:${new URL(server.url).port} ${key}`)
    for (const knownHostsFile of strangers) {
      const { source } = await open(t, `${server.url}${root}/fleet.git`, {
        ssh: { keyFile: server.keyFile, knownHostsFile },
      })
      await assert.rejects(source.pull(), { code: 'GIT_REMOTE_UNTRUSTED' })
      assert.equal(await source.repository.resolve('main'), null)
    }
  })

  test('tells a key that is refused, and one that others can read, from a repository that is not there', async t => {
    const { root } = makeRemote(t)
    const stranger = { ...trusted(), keyFile: server.strangeKeyFile }
    const refused = await open(t, `${server.url}${root}/fleet.git`, { ssh: stranger })
    await assert.rejects(refused.source.pull(), { code: 'GIT_REMOTE_UNAUTHORIZED' })
    const missing = await open(t, `${server.url}${root}/other.git`, { ssh: trusted() })
    await assert.rejects(missing.source.pull(), { code: 'GIT_REMOTE_NOT_FOUND' })
    const noFile = await open(t, `${server.url}${root}/fleet.git`, {
      ssh: { ...trusted(), keyFile: '/nonexistent' },
    })
    await assert.rejects(noFile.source.pull(), { code: 'SECRET_UNREADABLE' })
    const open644 = join(temporaryFolder(t), 'key')
    writeFileSync(open644, readFileSync(server.keyFile))
    chmodSync(open644, 0o644)
    const loose = await open(t, `${server.url}${root}/fleet.git`, { ssh: { ...trusted(), keyFile: open644 } })
    await assert.rejects(loose.source.pull(), { code: 'GIT_REMOTE_UNAUTHORIZED', hint: /by its owner alone/ })
  })

  test('needs a key and known hosts, and does not begin without', async t => {
    for (const ssh of [
      { keyFile: undefined, knownHostsFile: '/x' },
      { keyFile: '/x', knownHostsFile: undefined },
    ]) {
      await assert.rejects(open(t, 'git@example.org:fleet.git', { ssh }), { code: 'SSH_KEY_MISSING' })
    }
  })

  test('that is down is told from one that refuses', async t => {
    const { source } = await open(t, 'ssh://git@127.0.0.1:1/fleet.git', { ssh: trusted() })
    await assert.rejects(source.pull(), { code: 'GIT_REMOTE_UNREACHABLE', retryable: true })
  })
})
