import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import type { Digest } from '../../../schemas/want.ts'
import { startThreads, type Threads } from '../../process/threads.ts'
import type { RingBackend } from '../../ring/maglev.ts'

/** What Maglev makes of backends that are sorted by identity. */
export interface MadeSlots {
  /** Slot -> place among the backends. Shared: never write to it. */
  readonly slots: Uint16Array
  /** Of slot -> backend. */
  readonly digest: Digest
}

export type MakeSlots = (backends: readonly RingBackend[]) => Promise<MadeSlots>

/** For the services of one change. */
export interface SlotsMaker extends AsyncDisposable {
  make(backends: readonly RingBackend[]): Promise<MadeSlots>
}

const THREAD = resolve(import.meta.dirname, 'slots-thread.ts')
/** To start a thread takes as long as to make tens of rings; two CPUs have enough to do with making and writing them here. */
const MADE_HERE = availableParallelism() > 2 ? 48 : Number.POSITIVE_INFINITY
/** 128 KiB each; services with a shared pool come one after the other. */
const KEPT = 256

export const writeBackends = (backends: readonly RingBackend[]): string =>
  backends.map(({ address, weight }) => `${address} ${weight}`).join()

export const readBackends = (text: string): RingBackend[] =>
  (text === '' ? [] : text.split(',')).map(each => {
    const [address = '', weight = ''] = each.split(' ')
    return { address, weight: Number(weight) }
  })

/** The first rings of a change are made by `make`, here; when there are more, the rest on threads. */
export function createSlotsMaker(make: MakeSlots, madeHere = MADE_HERE): SlotsMaker {
  const made = new Map<string, Promise<MadeSlots>>()
  let threads: Threads<string, MadeSlots> | undefined
  let count = 0
  const begin = async (backends: readonly RingBackend[], text: string): Promise<MadeSlots> => {
    if (count++ < madeHere) return make(backends)
    threads ??= startThreads(THREAD)
    return threads.ask(text)
  }
  return {
    make(backends) {
      const key = writeBackends(backends)
      const known = made.get(key) ?? begin(backends, key)
      made.delete(key)
      made.set(key, known)
      if (made.size > KEPT) made.delete(made.keys().next().value!)
      return known
    },
    async [Symbol.asyncDispose]() {
      await threads?.[Symbol.asyncDispose]()
    },
  }
}
