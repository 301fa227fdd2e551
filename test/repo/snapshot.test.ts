import assert from 'node:assert/strict'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { constants, deflateSync } from 'node:zlib'
import fc from 'fast-check'
import { openRepository, type Snapshot, type SnapshotRequest } from '../../reconciler/repo/repository.ts'
import { makeRepository, type TestRepository, temporaryFolder, useRepository } from './make-repository.ts'

const snapshotOf = async (
  { dir }: TestRepository,
  revision: string,
  request: SnapshotRequest = { path: '' },
): Promise<Snapshot> => (await openRepository({ dir })).snapshot(revision, request)

const textsOf = ({ files }: Snapshot): Record<string, string> =>
  Object.fromEntries([...files].map(([path, { text }]) => [path, text]))

const refusalsOf = ({ diagnostics }: Snapshot): string[] =>
  diagnostics.map(({ rule, at }) => `${at.file} ${rule}`)

suite('a snapshot', () => {
  test('holds the manifests of the revision, whatever the work tree and the index say', async t => {
    const work = makeRepository(t)
    work.write('services/web.yaml', 'name: web\n')
    work.write('services/db.yml', 'name: db\n')
    work.write('README.md', 'read me')
    work.write('notes.yaml.txt', 'no')
    const revision = work.commit()
    work.write('services/web.yaml', 'not committed')
    work.write('staged.yaml', 'staged')
    work.git('add', '--all')
    const snapshot = await snapshotOf(work, revision)
    assert.deepEqual(textsOf(snapshot), {
      'services/db.yml': 'name: db\n',
      'services/web.yaml': 'name: web\n',
    })
    assert.deepEqual(snapshot.diagnostics, [])
    assert.equal(snapshot.revision, revision)
    assert.equal(
      snapshot.files.get('services/web.yaml')?.oid,
      work.git('rev-parse', 'HEAD:services/web.yaml'),
    )
  })

  test('holds only what is below its path, named from the root of the repository', async t => {
    const work = makeRepository(t)
    work.write('fleet/eu/a.yaml', 'a')
    work.write('fleet/us/b.yaml', 'b')
    work.write('fleet.yaml', 'no')
    const revision = work.commit()
    for (const path of ['fleet/eu', 'fleet/eu/', './fleet//eu']) {
      assert.deepEqual(textsOf(await snapshotOf(work, revision, { path })), { 'fleet/eu/a.yaml': 'a' }, path)
    }
    assert.deepEqual([...(await snapshotOf(work, revision, { path: '.' })).files.keys()].length, 3)
  })

  test('says so when its path is not there, is a file, or a link', async t => {
    const work = makeRepository(t)
    work.write('a.yaml', 'a')
    symlinkSync('.', join(work.dir, 'link'))
    const revision = work.commit()
    for (const [path, rule] of [
      ['fleet', 'repo-path-missing'],
      ['a.yaml', 'repo-path-missing'],
      ['../etc', 'repo-path-missing'],
      ['link', 'repo-symlink'],
    ] as const) {
      const snapshot = await snapshotOf(work, revision, { path })
      assert.deepEqual(refusalsOf(snapshot), [`${path} ${rule}`])
      assert.equal(snapshot.files.size, 0)
    }
  })

  test('reads names with spaces, umlauts, line feeds, quotes and backslashes as they are', async t => {
    const work = makeRepository(t)
    const names = [
      'a b.yaml',
      'grün/über.yaml',
      'line\nfeed.yaml',
      '"quoted".yaml',
      'back\\slash.yaml',
      '-x.yaml',
      '日本.yml',
    ]
    for (const name of names) work.write(name, name)
    const snapshot = await snapshotOf(work, work.commit())
    assert.deepEqual(textsOf(snapshot), Object.fromEntries(names.map(name => [name, name])))
  })

  test('of an empty tree is empty', async t => {
    const work = makeRepository(t)
    const snapshot = await snapshotOf(work, work.commit())
    assert.deepEqual([snapshot.files.size, snapshot.diagnostics.length], [0, 0])
  })

  test('of a commit that is not there fails', async t => {
    const work = makeRepository(t)
    work.commit()
    await assert.rejects(snapshotOf(work, '1'.repeat(40)), { code: 'REVISION_NOT_FOUND' })
  })

  test('drops a byte order mark', async t => {
    const work = makeRepository(t)
    work.write('a.yaml', Buffer.from('\ufeffname: a\n'))
    assert.deepEqual(textsOf(await snapshotOf(work, work.commit())), { 'a.yaml': 'name: a\n' })
  })
})

suite('.ballastignore', () => {
  test('keeps files, folders and links out, by patterns as in .gitignore, from the top of the path', async t => {
    const work = makeRepository(t)
    work.write('fleet/.ballastignore', 'vendor/\n*.draft.yaml\n!keep.draft.yaml\n/only-here.yaml\nlink\n')
    work.write('fleet/vendor/chart.yaml', 'no')
    work.write('fleet/deep/vendor/chart.yaml', 'no')
    work.write('fleet/a.draft.yaml', 'no')
    work.write('fleet/keep.draft.yaml', 'yes')
    work.write('fleet/only-here.yaml', 'no')
    work.write('fleet/deep/only-here.yaml', 'yes')
    symlinkSync('/etc', join(work.dir, 'fleet/link'))
    const snapshot = await snapshotOf(work, work.commit(), { path: 'fleet' })
    assert.deepEqual(textsOf(snapshot), {
      'fleet/deep/only-here.yaml': 'yes',
      'fleet/keep.draft.yaml': 'yes',
    })
    assert.deepEqual(snapshot.diagnostics, [])
  })

  test('counts from the revision in which it changed, for folders that did not', async t => {
    const work = makeRepository(t)
    work.write('vendor/a.yaml', 'a')
    work.write('web.yaml', 'web')
    const before = await snapshotOf(work, work.commit())
    work.write('.ballastignore', 'vendor/')
    const ignoring = await snapshotOf(work, work.commit(), { path: '', previous: before })
    assert.deepEqual(Object.keys(textsOf(ignoring)), ['web.yaml'])
    work.remove('.ballastignore')
    const after = await snapshotOf(work, work.commit(), { path: '', previous: ignoring })
    assert.deepEqual(textsOf(after), textsOf(before))
  })
})

suite('what is not read is refused, each with its place', () => {
  test('links, submodules, LFS pointers, other encodings, names that are not UTF-8', async t => {
    const work = makeRepository(t)
    work.write('ok.yaml', 'ok')
    work.write('lfs.yaml', 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n')
    work.write('latin1.yaml', Buffer.from('name: z\xfcrich\n', 'latin1'))
    work.write('utf16.yaml', Buffer.from('\ufeffname: a\n', 'utf16le'))
    symlinkSync('/etc/passwd', join(work.dir, 'link.yaml'))
    symlinkSync('/etc', join(work.dir, 'folder'))
    const head = work.commit()
    work.git('update-index', '--add', '--cacheinfo', `160000,${head},sub`)
    work.git('commit', '--quiet', '--message', 'submodule')
    writeFileSync(
      Buffer.concat([Buffer.from(`${work.dir}/`), Buffer.from([0xff]), Buffer.from('.yaml')]),
      'x',
    )
    mkdirSync(Buffer.concat([Buffer.from(`${work.dir}/`), Buffer.from([0xfe])]))
    writeFileSync(
      Buffer.concat([Buffer.from(`${work.dir}/`), Buffer.from([0xfe]), Buffer.from('/y.yaml')]),
      'y',
    )
    work.git('add', '--', ':!sub')
    work.git('commit', '--quiet', '--message', 'names')
    const snapshot = await snapshotOf(work, work.git('rev-parse', 'HEAD'))
    assert.deepEqual(refusalsOf(snapshot), [
      'folder repo-symlink',
      'latin1.yaml repo-not-utf8',
      'lfs.yaml repo-lfs',
      'link.yaml repo-symlink',
      'sub repo-submodule',
      'utf16.yaml repo-not-utf8',
      '\ufffd repo-file-name',
      '\ufffd.yaml repo-file-name',
    ])
    assert.ok(snapshot.diagnostics.every(({ severity, hint }) => severity === 'error' && hint !== ''))
    assert.deepEqual(textsOf(snapshot), { 'ok.yaml': 'ok' })
  })

  test('a file above 1 MiB, however small it is on disk, and without unpacking it', async t => {
    const work = makeRepository(t)
    work.write('just.yaml', Buffer.alloc(1 << 20, 0x20))
    work.write('big.yaml', Buffer.alloc((1 << 20) + 1, 0x20))
    // A loose object that says that it has 300 MB, and breaks off: whoever unpacks it fails.
    const bomb = 'b'.repeat(40)
    const head = deflateSync('blob 300000000\0 ', { finishFlush: constants.Z_SYNC_FLUSH })
    work.write(`.git/objects/bb/${bomb.slice(2)}`, head)
    work.git('add', '--all')
    work.git('update-index', '--add', '--cacheinfo', `100644,${bomb},bomb.yaml`)
    const tree = work.git('write-tree', '--missing-ok')
    const snapshot = await snapshotOf(work, work.git('commit-tree', tree, '-m', 'big'))
    assert.deepEqual(refusalsOf(snapshot), ['big.yaml repo-file-size', 'bomb.yaml repo-file-size'])
    assert.equal(snapshot.files.get('just.yaml')?.text.length, 1 << 20)

    const repository = await openRepository({ dir: work.dir })
    const again = await repository.snapshot(snapshot.revision, { path: '', previous: snapshot })
    assert.deepEqual(refusalsOf(again), refusalsOf(snapshot), 'still refused when nothing is read')
  })

  test('more than 64 MiB in all', async t => {
    const work = makeRepository(t)
    const mebibyte = Buffer.alloc(1 << 20, 0x20)
    for (let index = 0; index < 65; index++) {
      mebibyte.write(`${index}`)
      work.write(`${index}.yaml`, mebibyte)
    }
    work.git('config', 'core.compression', '0')
    const snapshot = await snapshotOf(work, work.commit())
    assert.deepEqual(refusalsOf(snapshot), ['. repo-too-big'])
    assert.equal(snapshot.files.size, 0, 'rather nothing than a part')
  })

  test('more than 100 levels of folders', async t => {
    const work = makeRepository(t)
    work.write(`${'d/'.repeat(100)}a.yaml`, 'a')
    assert.equal((await snapshotOf(work, work.commit())).files.size, 1)
    work.write(`${'d/'.repeat(101)}b.yaml`, 'b')
    const snapshot = await snapshotOf(work, work.commit())
    assert.deepEqual(refusalsOf(snapshot), [`${'d/'.repeat(100)}d repo-too-deep`])
  })

  test('more than 100,000 manifests, also when a small tree stands for them many times over', async t => {
    const work = makeRepository(t)
    const blob = work.gitWithInput('a: 1\n', 'hash-object', '-w', '--stdin')
    const flat = Array.from({ length: 100_001 }, (_, index) => `100644 blob ${blob}\t${index}.yaml\n`).join(
      '',
    )
    const wide = work.gitWithInput(flat, 'mktree')
    let bomb = work.gitWithInput(`100644 blob ${blob}\ta.yaml\n`, 'mktree')
    for (let level = 0; level < 10; level++) {
      const entries = Array.from({ length: 10 }, (_, index) => `040000 tree ${bomb}\t${index}\n`)
      bomb = work.gitWithInput(entries.join(''), 'mktree')
    }
    for (const tree of [wide, bomb]) {
      const snapshot = await snapshotOf(work, work.git('commit-tree', tree, '-m', 'many'))
      assert.deepEqual(refusalsOf(snapshot), ['. repo-too-many-files'])
      assert.equal(snapshot.files.size, 0)
    }
  })
})

suite('a snapshot after another one', () => {
  async function fleet(t: TestContext) {
    const work = makeRepository(t)
    for (const folder of ['a', 'b', 'c']) {
      for (let index = 0; index < 10; index++) work.write(`${folder}/${index}.yaml`, `${folder}${index}`)
    }
    const repository = await openRepository({ dir: work.dir })
    const first = await repository.snapshot(work.commit(), { path: '' })
    return { work, repository, first }
  }

  test('reads only the blobs and folders that changed', async t => {
    const { work, repository, first } = await fleet(t)
    assert.deepEqual(first.stats, { read: 30, reused: 0, treesRead: 4 })
    work.write('b/3.yaml', 'changed')
    const second = await repository.snapshot(work.commit(), { path: '', previous: first })
    assert.deepEqual(second.stats, { read: 1, reused: 29, treesRead: 2 })
    assert.equal(second.files.get('b/3.yaml')?.text, 'changed')
    const same = await repository.snapshot(work.commit(), { path: '', previous: second })
    assert.deepEqual(same.stats, { read: 0, reused: 30, treesRead: 0 })
    assert.deepEqual(textsOf(same), textsOf(second))
  })

  test('reads no blob of a folder that moved', async t => {
    const { work, repository, first } = await fleet(t)
    work.git('mv', 'a', 'moved')
    const second = await repository.snapshot(work.commit(), { path: '', previous: first })
    assert.equal(second.stats.read, 0)
    assert.ok(second.files.has('moved/0.yaml') && !second.files.has('a/0.yaml'))
  })

  test('of another path, or after a refused one, starts from nothing known and is right', async t => {
    const { work, repository, first } = await fleet(t)
    const part = await repository.snapshot(first.revision, { path: 'a', previous: first })
    assert.deepEqual([...part.files.keys()].length, 10)
    const missing = await repository.snapshot(first.revision, { path: 'nope', previous: first })
    const again = await repository.snapshot(work.commit(), { path: '', previous: missing })
    assert.deepEqual(textsOf(again), textsOf(first))
  })

  test('is the same as one read from nothing, over any history', async t => {
    const path = fc.constantFrom(
      'a.yaml',
      'b/a.yaml',
      'b/c.yaml',
      'b/d/e.yml',
      'f/g.yaml',
      'f/README',
      '.ballastignore',
    )
    const edit = fc.record({
      path,
      text: fc.option(fc.constantFrom('', 'b/', '*.yml', 'one: 1\n', '\u00fc'), { nil: null }),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(edit, { maxLength: 4 }), { minLength: 2, maxLength: 5 }),
        async history => {
          const work = makeRepository(t)
          const repository = await openRepository({ dir: work.dir })
          let previous: Snapshot | undefined
          for (const edits of history) {
            for (const { path, text } of edits) {
              if (text !== null) work.write(path, text)
              else rmSync(join(work.dir, path), { force: true })
            }
            const revision = work.commit()
            const next: Snapshot = await repository.snapshot(revision, { path: '', previous })
            const cold = await repository.snapshot(revision, { path: '' })
            assert.deepEqual([...next.files], [...cold.files])
            assert.deepEqual(next.diagnostics, cold.diagnostics)
            previous = next
          }
        },
      ),
      { numRuns: 8 },
    )
  })
})

suite('the objects of a repository', () => {
  async function sample(t: TestContext, ...init: string[]) {
    const work = makeRepository(t, ...init)
    for (let index = 0; index < 40; index++) work.write(`many/${index}.yaml`, `name: ${index}\n`)
    work.write('one/x.yaml', 'x')
    const revision = work.commit()
    return { work, revision, expected: textsOf(await snapshotOf(work, revision)) }
  }

  test('are read loose, packed, and from a bare repository that was pushed to', async t => {
    const { work, revision, expected } = await sample(t)
    assert.equal(Object.keys(expected).length, 41)
    const bare = makeRepository(t, '--bare')
    work.git('push', '--quiet', bare.dir, 'main')
    assert.deepEqual(textsOf(await snapshotOf(bare, revision)), expected)
    for (const repository of [work, bare]) {
      repository.git('gc', '--quiet')
      assert.deepEqual(textsOf(await snapshotOf(repository, revision)), expected)
    }
  })

  test('are read where isomorphic-git cannot: SHA-256, alternates, linked worktrees', async t => {
    const sha256 = await sample(t, '--object-format=sha256')
    assert.equal(sha256.revision.length, 64)
    assert.equal(Object.keys(sha256.expected).length, 41)

    const { work, revision, expected } = await sample(t)
    const parent = temporaryFolder(t)
    work.git('clone', '--quiet', '--shared', work.dir, join(parent, 'shared'))
    work.git('worktree', 'add', '--quiet', '--detach', join(parent, 'linked'))
    for (const name of ['shared', 'linked']) {
      const other = useRepository(join(parent, name))
      assert.deepEqual(textsOf(await snapshotOf(other, revision)), expected, name)
      other.write('one/x.yaml', 'changed')
      other.git('config', 'user.name', 'Ada')
      const next = other.commit()
      assert.equal((await snapshotOf(other, next)).files.get('one/x.yaml')?.text, 'changed', name)
    }
  })

  test('are found after a force-push, a repack and a collection under an open repository', async t => {
    const work = makeRepository(t)
    work.write('a.yaml', '0')
    work.commit()
    const repository = await openRepository({ dir: work.dir })
    let previous: Snapshot | undefined
    for (let round = 1; round <= 4; round++) {
      work.write('a.yaml', `${round}`)
      work.git('add', '--all')
      work.git('commit', '--quiet', '--amend', '--message', `round ${round}`)
      work.git('reflog', 'expire', '--expire=now', '--all')
      if (round % 2 === 0) work.git('gc', '--quiet', '--prune=now')
      else work.git('repack', '-a', '-d', '--quiet')
      const head = await repository.resolve('main')
      previous = await repository.snapshot(head!, { path: '', previous })
      assert.deepEqual(textsOf(previous), { 'a.yaml': `${round}` })
    }
  })

  test('that are missing or malformed are an error, and not an empty folder', async t => {
    const { work } = await sample(t)
    const malformed = work.gitWithInput(
      Buffer.from('100644 a.yaml\0short'),
      'hash-object',
      '-w',
      '--literally',
      '-t',
      'tree',
      '--stdin',
    )
    const commit = `tree ${malformed}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n`
    const broken = work.gitWithInput(commit, 'hash-object', '-w', '--literally', '-t', 'commit', '--stdin')
    await assert.rejects(snapshotOf(work, broken), { code: 'OBJECT_UNREADABLE' })

    const blob = work.git('rev-parse', 'HEAD:one/x.yaml')
    rmSync(join(work.dir, '.git/objects', blob.slice(0, 2), blob.slice(2)))
    await assert.rejects(snapshotOf(work, work.git('rev-parse', 'HEAD')), { code: 'OBJECT_MISSING' })
  })
})
