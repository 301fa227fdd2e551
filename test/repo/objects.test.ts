import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { createByteReader } from '../../reconciler/repo/byte-reader.ts'
import { findRepository } from '../../reconciler/repo/find-repository.ts'
import { openGitObjects, parseTree } from '../../reconciler/repo/git-objects.ts'
import { createObjects } from '../../reconciler/repo/objects.ts'
import { makeRepository } from './make-repository.ts'

suite('the objects of a repository', () => {
  test('are read as git shows them, loose and packed', async t => {
    const work = makeRepository(t)
    for (let index = 0; index < 20; index++) work.write(`${index % 3}/ü ${index}.yaml`, `name: ${index}\n`)
    work.write('empty.yaml', '')
    work.write('binary.yaml', Buffer.from([0, 255, 10, 0]))
    const revision = work.commit()
    const place = await findRepository(work.dir)
    for (const packed of [false, true]) {
      if (packed) work.git('gc', '--quiet')
      const objects = createObjects(place)
      const root = await objects.treeOf(revision)
      const [entries] = await objects.readTrees([root!])
      const folders = entries!.filter(({ kind }) => kind === 'folder')
      const trees = await objects.readTrees(folders.map(({ oid }) => oid))
      const files = [
        ...entries!.filter(({ kind }) => kind === 'file'),
        ...trees.flatMap((below, at) =>
          below.map(entry => ({ ...entry, name: `${folders[at]!.name}/${entry.name}` })),
        ),
      ]
      const listed = work.git('-c', 'core.quotePath=false', 'ls-tree', '-r', 'HEAD').split('\n')
      assert.equal(files.length, 22)
      assert.deepEqual(files.map(({ oid, name }) => `100644 blob ${oid}\t${name}`).sort(), listed.sort())
      const oids = files.map(({ oid }) => oid)
      const blobs = await objects.readBlobs(oids)
      assert.deepEqual(
        blobs.map(bytes => gitId('blob', bytes)),
        oids,
      )
      assert.deepEqual(
        await objects.sizes(oids),
        blobs.map(({ length }) => length),
      )
      const [commit] = await objects.readCommits([revision])
      assert.equal(gitId('commit', commit!), revision)
    }
  })

  test('answer questions that are asked at the same time each with its own', async t => {
    const work = makeRepository(t)
    for (let index = 0; index < 50; index++) work.write(`${index}.yaml`, `${index}`.repeat(index + 1))
    work.commit()
    const git = createObjects(await findRepository(work.dir))
    const oids = Array.from({ length: 50 }, (_, index) => work.git('rev-parse', `HEAD:${index}.yaml`))
    const answers = await Promise.all([
      git.readBlobs(oids),
      git.sizes(oids),
      git.readBlobs(['1'.repeat(40), ...oids]).catch(({ code }) => code),
      git.readTrees(oids).catch(({ code }) => code),
      git.readBlobs(oids.toReversed()),
    ])
    assert.equal(answers[0].length, 50)
    assert.deepEqual(
      answers[1],
      answers[0].map(({ length }) => length),
    )
    assert.deepEqual([answers[2], answers[3]], ['OBJECT_MISSING', 'OBJECT_UNREADABLE'])
    assert.deepEqual(answers[4].toReversed(), answers[0])
  })

  test('fail, and do not wait for ever, when git ends', async t => {
    const work = makeRepository(t)
    work.commit()
    const git = await openGitObjects(await findRepository(work.dir))
    await git.close()
    await assert.rejects(git.sizes(['1'.repeat(40)]), { code: 'GIT_FAILED', retryable: true })
  })

  test('are read on after git was ended, and as they came meanwhile', async t => {
    const work = makeRepository(t)
    const place = await findRepository(work.dir)
    const objects = createObjects(place)
    const first = work.commit('first')
    assert.notEqual(await objects.treeOf(first), null)
    const pid = readdirSync('/proc').find(name => /^\d+$/.test(name) && isReader(name, place.gitDir))
    process.kill(Number(pid), 'SIGKILL')
    const second = work.commit('second')
    work.git('gc', '--quiet')
    assert.equal(gitId('commit', (await objects.readCommits([second]))[0]!), second)
  })
})

const gitId = (type: string, bytes: Uint8Array): string =>
  createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex')

function isReader(pid: string, gitDir: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return command.includes('cat-file') && command.includes(gitDir)
  } catch {
    return false // Ended meanwhile.
  }
}

suite('taking answers apart', () => {
  test('lines and bytes come out the same, however the stream was cut', async () => {
    const part = fc.oneof(
      fc.string().map(text => ({ line: text.replaceAll('\n', ' ') })),
      fc.uint8Array({ maxLength: 40 }).map(bytes => ({ bytes })),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(part),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        async (parts, cuts) => {
          const whole = Buffer.concat(
            parts.map(given => ('line' in given ? Buffer.from(`${given.line}\n`) : Buffer.from(given.bytes))),
          )
          const chunks: Buffer[] = []
          for (let at = 0, turn = 0; at < whole.length; turn++) {
            const next = at + cuts[turn % cuts.length]!
            chunks.push(whole.subarray(at, next))
            at = next
          }
          const reader = createByteReader(Readable.from(chunks))
          for (const given of parts) {
            if ('line' in given) assert.equal(await reader.line(), Buffer.from(given.line).toString())
            else
              assert.deepEqual(Buffer.from(await reader.bytes(given.bytes.length)), Buffer.from(given.bytes))
          }
          await assert.rejects(reader.line(), /ended early/)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a tree that is none is told from one, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const entries = parseTree(bytes, 20)
        assert.ok(entries === null || entries.every(({ oid }) => /^[0-9a-f]{40}$/.test(oid)))
      }),
    )
    assert.deepEqual(parseTree(new Uint8Array(), 20), [])
    assert.equal(parseTree(Buffer.from('100644 a.yaml\0short'), 20), null)
  })
})
