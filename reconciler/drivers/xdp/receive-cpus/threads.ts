import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { classOf } from '../class-of.ts'
import { interfaceIndex } from '../libc.ts'
import { unsupported } from './cpu-failures.ts'
import { findNapiThreads } from './napi-threads.ts'

/** What `threaded` of an interface says: 1, it is polled by threads. Undefined: it cannot be. */
export function readThreaded(name: string): string | undefined {
  try {
    return readFileSync(`${classOf(name)}/${name}/threaded`, 'latin1').trim()
  } catch {
    return undefined
  }
}

export const writeThreaded = (name: string, value: string): void =>
  writeFileSync(`${classOf(name)}/${name}/threaded`, value)

/** Of what has nothing to be polled the kernel refuses it, and that is no fault. */
export function startThreads(name: string): void {
  try {
    writeThreaded(name, '1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error
  }
}

/** Process ids. Throws `XDP_CPUS_UNSUPPORTED` when threads of another interface may be among them. */
export function findThreads(name: string): number[] {
  const threads = findNapiThreads(name, interfaceIndex(name))
  const queues = readdirSync(`${classOf(name)}/${name}/queues`).filter(queue => queue.startsWith('rx-'))
  if (threads.length <= queues.length) return threads
  throw unsupported(name, 'its NAPI threads cannot be told from those of another interface of that name')
}
