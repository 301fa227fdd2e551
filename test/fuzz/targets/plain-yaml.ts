import { randomInt } from 'node:crypto'
import { composeFleet } from '../../bench/sample-fleet.ts'
import { isReadAlike, YAML_PIECES } from '../../manifest/read-alike.ts'
import { fuzzOptions, printSummary } from '../run-bounded.ts'
import { searchByCoverage } from '../search-by-coverage.ts'

/**
 * The quick reader of manifests is our own code, and what it reads in another way than YAML would change traffic. Its code
 * is small, so that coverage finds its way into all of it.
 */
const counts = { runs: 0, refused: 0 }
const { numRuns, seed = randomInt(2 ** 31) } = fuzzOptions(2_000)

await searchByCoverage({
  modules: ['/manifest/read-plain-yaml.ts', '/manifest/other-reading.ts'],
  seeds: Array.from(composeFleet({ services: 1, backends: 2, nodes: ['lb-1'] }), ([, text]) => text),
  pieces: YAML_PIECES,
  runs: numRuns,
  seed,
  check(text) {
    counts.runs += 1
    const isRead = isReadAlike(text)
    if (!isRead) counts.refused += 1
    return isRead
  },
})
printSummary(counts)
