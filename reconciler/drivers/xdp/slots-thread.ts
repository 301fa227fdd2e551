import { parentPort } from 'node:worker_threads'
import { buildRing } from '../../ring/maglev.ts'
import { ringDigest } from '../../ring/ring-digest.ts'
import { type MadeSlots, readBackends } from './slots-maker.ts'

/** A thread that makes rings, one a message: text is handed over in less time than objects. */
parentPort!.on('message', (text: string) => {
  const backends = readBackends(text)
  const slots = buildRing(backends)
  const addresses = backends.map(({ address }) => address)
  const made: MadeSlots = { slots, digest: ringDigest(addresses, slots) }
  parentPort!.postMessage(made, [slots.buffer as ArrayBuffer])
})
