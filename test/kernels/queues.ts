import { resolve } from 'node:path'
import { buildObjects } from '../bpf/balancer.ts'
import { bundle } from './bundle.ts'
import { findMissing, REPORT, runInGuest } from './guest.ts'
import { REPORTER, testCommand, testInside } from './suite.ts'

/**
 * A card with several queues, which no machine is sure to have that tests run on: emulated. `npm run test:kernels` runs it,
 * `npm test` does not.
 */

const missing =
  process.getuid?.() === 0 ? findMissing('6.1') : 'only root may make a network for the other end of a card'
const inside = resolve(import.meta.dirname, 'inside/queues.ts')

await buildObjects()
testInside('a card with several queues', missing || false, async () => {
  await using bundles = await bundle([REPORTER, inside])
  return await runInGuest({
    kernel: '6.1',
    cardFor: 2,
    modules: ['virtio_net'],
    command: testCommand(bundles.files, REPORT),
    limit: 300_000,
  })
})
