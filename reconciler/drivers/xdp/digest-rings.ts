import { sha256 } from '../../../schemas/digest.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Digest } from '../../../schemas/want.ts'
import type { Breathe } from '../../process/breather.ts'
import { changedSince } from './changed-map.ts'
import type { KnownServices } from './known-services.ts'
import type { Tables } from './tables.ts'

type Services = Tables['services']

interface Lines {
  readonly services: Services
  readonly known: KnownServices
  readonly texts: string[]
  /** Where the line of each service is among them. */
  readonly places: ReadonlyMap<RowKey, number>
  digest: Digest
}

/** Equal on two nodes that choose the same backends for every service. */
export type DigestRings = (services: Services, known: KnownServices, breathe: Breathe) => Promise<Digest>

/** Who asks again and again pays for the lines that changed, and for the digest of all. */
export function createRingsDigest(): DigestRings {
  let last: Lines | undefined
  return async (services, known, breathe) => {
    const changed = last?.services === services ? changedSince(last.known, known) : null
    if (last === undefined || changed === null) {
      last = { services, known, ...(await writeLines(services, known, breathe)), digest: '' }
    } else {
      for (const rowKey of changed) last.texts[last.places.get(rowKey)!] = lineOf(rowKey, known)
      last = { ...last, known }
    }
    if (changed === null || changed.size > 0) last.digest = sha256(last.texts.join(''))
    return last.digest
  }
}

/** As no key is the beginning of another one, their order is that of the lines. */
async function writeLines(services: Services, known: KnownServices, breathe: Breathe) {
  const texts: string[] = []
  const places = new Map<RowKey, number>()
  for (const rowKey of [...services.keys()].sort()) {
    await breathe()
    places.set(rowKey, texts.length)
    texts.push(lineOf(rowKey, known))
  }
  return { texts, places }
}

function lineOf(rowKey: RowKey, known: KnownServices): string {
  const ring = known.get(rowKey)
  return ring === undefined ? '' : `${rowKey} ${ring.digest}\n`
}
