import { Session } from 'node:inspector/promises'
import { createRandom, type Random } from '../faults/random.ts'

export interface Search {
  /** Ends of the paths of the modules whose code is to be reached. */
  readonly modules: readonly string[]
  readonly seeds: readonly string[]
  /** What is put into texts: words and signs that mean something to the code. */
  readonly pieces: readonly string[]
  readonly runs: number
  readonly seed: number
  /** Whether it was understood; throws for a text that should not be. */
  readonly check: (text: string) => boolean
}

/** Texts do not grow without end. */
const LONGEST = 2_000

/**
 * Changes texts again and again, and keeps those that reached code which none before has reached (V8 counts blocks), to
 * be changed further. Gives how many were kept. An error has the text that it came of.
 */
export async function searchByCoverage(search: Search): Promise<{ kept: number }> {
  const random = createRandom(search.seed)
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  // Without counts: a block is told of once, when it is first reached.
  await session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true })
  const seen = new Set<string>()
  const kept: string[] = []
  /** Of those kept. What comes of the others is mostly refused where they were. */
  const understood: string[] = []
  try {
    for (let run = 0; run < search.runs; run++) {
      const text = search.seeds[run] ?? change(random, random.chance(0.8) ? understood : kept, search.pieces)
      let isUnderstood: boolean
      try {
        isUnderstood = search.check(text)
      } catch (cause) {
        throw new Error(`run ${run} of seed ${search.seed}: ${JSON.stringify(text)}`, { cause })
      }
      const isNew = await reachesMore(session, search.modules, seen)
      if (!isNew && run >= search.seeds.length) continue
      kept.push(text)
      if (isUnderstood) understood.push(text)
    }
  } finally {
    session.disconnect()
  }
  return { kept: kept.length }
}

async function reachesMore(
  session: Session,
  modules: readonly string[],
  seen: Set<string>,
): Promise<boolean> {
  const { result } = await session.post('Profiler.takePreciseCoverage')
  let isNew = false
  for (const { url, functions } of result) {
    if (!modules.some(end => url.endsWith(end))) continue
    for (const { functionName, ranges } of functions) {
      const name = `${url} ${functionName} ${JSON.stringify(ranges)}`
      if (seen.has(name)) continue
      seen.add(name)
      isNew = true
    }
  }
  return isNew
}

function change(random: Random, kept: readonly string[], pieces: readonly string[]): string {
  let text = random.pick(kept)
  for (let step = random.int(3); step >= 0; step--) {
    const at = random.int(text.length + 1)
    const end = Math.min(text.length, at + 1 + random.int(12))
    text = random.pick([
      () => text.slice(0, at) + random.pick(pieces) + text.slice(at),
      () => text.slice(0, at) + random.pick(pieces) + text.slice(end),
      () => text.slice(0, at) + text.slice(end),
      () => text.slice(0, end) + text.slice(at),
      () => text.slice(0, at) + random.pick(kept).slice(random.int(40)),
      () => changeLines(random, text.split('\n')),
    ])()
  }
  return text.slice(0, LONGEST)
}

function changeLines(random: Random, lines: readonly string[]): string {
  const [from, to] = [random.int(lines.length), random.int(lines.length)]
  const line = lines[from]!
  return random
    .pick([
      () => lines.toSpliced(to, 0, line),
      () => lines.toSpliced(from, 1).toSpliced(to, 0, line),
      () => lines.with(from, `${' '.repeat(1 + random.int(3))}${line}`),
      () => lines.with(from, line.replace(/^ {1,2}/, '')),
    ])()
    .join('\n')
}
