import { runBenchmarks } from '../bench/run-benchmarks.ts'
import { findMissing } from '../kernels/guest.ts'
import { comparison } from './compare.ts'

/** `npm run bench:compare`: Ballast beside iptables and IPVS in one kernel. docs/comparison.md says what it shows and what not. */

const missing = findMissing('6.1')
if (missing !== '') {
  console.error(`bench:compare cannot run here: ${missing}`)
  process.exit(1)
}
await runBenchmarks([comparison], {})
