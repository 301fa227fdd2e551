import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { startThreads } from '../../reconciler/process/threads.ts'

suite('threads', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ballast-threads-'))
  after(() => rmSync(directory, { recursive: true }))
  const write = (name: string, body: string): string => {
    const script = join(directory, name)
    const text = `import { parentPort, threadId } from 'node:worker_threads'\nparentPort.on('message', task => { ${body} })`
    writeFileSync(script, text)
    return script
  }

  test('answer every task, on no more of them than there may be', async () => {
    const script = write('double.mjs', 'parentPort.postMessage({ twice: 2 * task, threadId })')
    await using threads = startThreads<number, { twice: number; threadId: number }>(script, 2)
    const tasks = Array.from({ length: 20 }, (_, i) => i)
    const answers = await Promise.all(tasks.map(threads.ask))
    assert.deepEqual(
      answers.map(({ twice }) => twice),
      tasks.map(task => 2 * task),
    )
    assert.equal(new Set(answers.map(({ threadId }) => threadId)).size, 2)
  })

  test('that fail leave no task without an answer', async () => {
    const script = write(
      'fail.mjs',
      "if (task === 3) throw new Error('task 3'); parentPort.postMessage(task)",
    )
    await using threads = startThreads<number, number>(script, 1)
    const ends = await Promise.allSettled([1, 2, 3, 4, 5].map(threads.ask))
    assert.deepEqual(
      ends.map(end => (end.status === 'fulfilled' ? end.value : end.reason.message)),
      [1, 2, 'task 3', 'task 3', 'task 3'],
    )
    assert.equal(await threads.ask(6), 6)
  })
})
