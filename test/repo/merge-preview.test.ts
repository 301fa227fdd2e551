import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { makeRepository } from './make-repository.ts'

test('what a merge would make is read without merging, and names the files that conflict', async t => {
  const made = makeRepository(t)
  made.write('a.yaml', 'one\n')
  made.write('b.yaml', 'one\n')
  const start = made.commit()
  made.git('checkout', '--quiet', '-b', 'change')
  made.write('b.yaml', 'changed\n')
  const change = made.commit()
  made.git('checkout', '--quiet', '-b', 'clash', start)
  made.write('a.yaml', 'clash\n')
  const clash = made.commit()
  made.git('checkout', '--quiet', 'main')
  made.write('a.yaml', 'two\n')
  const main = made.commit()
  const repository = await openRepository({ dir: made.dir })

  assert.deepEqual(await repository.previewMerge(start, change), { revision: change })
  assert.deepEqual(await repository.previewMerge(change, start), { revision: change })
  assert.deepEqual(await repository.previewMerge(main, clash), { conflicts: ['a.yaml'] })
  const merged = await repository.previewMerge(main, change)
  assert.ok('revision' in merged)
  assert.deepEqual(await repository.previewMerge(main, change), merged)
  assert.equal(made.git('show', `${merged.revision}:a.yaml`), 'two')
  assert.equal(made.git('show', `${merged.revision}:b.yaml`), 'changed')
  assert.equal(made.git('rev-parse', 'main'), main)
  assert.equal(made.git('status', '--porcelain'), '')
})

test('histories that have nothing in common, as in a shallow clone, are an error that says so', async t => {
  const repository = makeRepository(t)
  repository.write('a', '1')
  const base = repository.commit('base')
  repository.git('checkout', '-q', '--orphan', 'other')
  const head = repository.commit('other')
  const { previewMerge } = await openRepository({ dir: repository.dir })
  await assert.rejects(previewMerge(base, head), { code: 'NO_COMMON_HISTORY', hint: /fetch-depth: 0/ })
})
