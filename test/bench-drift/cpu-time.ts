import { readdir, readFile } from 'node:fs/promises'

/** Of Linux on every machine that Node runs on (sysconf(3), _SC_CLK_TCK). */
const TICK_MS = 10

/**
 * CPU time of processes and all of their descendants, living or waited for, ms: user and system (proc(5)).
 */
export async function readCpuTime(roots: readonly number[]): Promise<number> {
  const stats = new Map<number, Stat>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readStat(Number(name))
    if (stat !== null) stats.set(Number(name), stat)
  }
  const isWithin = (pid: number): boolean =>
    roots.includes(pid) || (stats.has(pid) && isWithin(stats.get(pid)!.parent))
  return [...stats].filter(([pid]) => isWithin(pid)).reduce((sum, [, { ms }]) => sum + ms, 0)
}

interface Stat {
  readonly parent: number
  readonly ms: number
}

/** Null: it has ended. */
async function readStat(pid: number): Promise<Stat | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (text === null) return null
  // The name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = [11, 12, 13, 14].map(at => Number(fields[at]))
  return { parent: Number(fields[1]), ms: TICK_MS * ticks.reduce((sum, each) => sum + each, 0) }
}
