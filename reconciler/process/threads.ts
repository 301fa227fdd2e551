import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

/** Threads that run one script, which answers every message with one. */
export interface Threads<Task, Answer> extends AsyncDisposable {
  /**
   * Whoever is free takes the next task, in the order in which they were asked. When a thread fails, this and
   * whatever is not answered yet rejects with its error.
   */
  ask(task: Task): Promise<Answer>
}

interface Asked<Task, Answer> {
  readonly task: Task
  readonly answer: (answer: Answer) => void
  readonly fail: (error: unknown) => void
}

/** At most `count` of them, each started when a task finds none that is free. */
export function startThreads<Task, Answer>(
  script: string,
  count = availableParallelism(),
): Threads<Task, Answer> {
  const busy = new Map<Worker, Asked<Task, Answer>>()
  const free: Worker[] = []
  const waiting: Asked<Task, Answer>[] = []

  const give = (thread: Worker, asked: Asked<Task, Answer>): void => {
    busy.set(thread, asked)
    thread.postMessage(asked.task)
  }
  const failAll = (error: unknown): void => {
    const asked = [...busy.values(), ...waiting.splice(0)]
    busy.clear()
    for (const { fail } of asked) fail(error)
  }
  const start = (): Worker => {
    const thread = new Worker(script)
    thread.on('message', (answer: Answer) => {
      busy.get(thread)?.answer(answer)
      busy.delete(thread)
      const next = waiting.shift()
      if (next === undefined) free.push(thread)
      else give(thread, next)
    })
    thread.on('error', error => {
      threads.splice(threads.indexOf(thread), 1)
      failAll(error)
    })
    threads.push(thread)
    return thread
  }
  /** Those that live: another one takes the place of one that failed. */
  const threads: Worker[] = []
  return {
    ask: task =>
      new Promise((answer, fail) => {
        const asked = { task, answer, fail }
        const thread = free.pop() ?? (threads.length < count ? start() : undefined)
        if (thread === undefined) waiting.push(asked)
        else give(thread, asked)
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map(thread => thread.terminate()))
    },
  }
}
