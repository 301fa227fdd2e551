/** Lists of CPUs as the kernel writes them: `0-3,8`. */

export const CPU_LIST = /^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/

/** In order, each once; ranges may run backwards. */
export function parseCpuList(text: string): number[] {
  const cpus = text.split(',').flatMap(part => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: Math.abs(last - first) + 1 }, (_, i) => Math.min(first, last) + i)
  })
  return [...new Set(cpus)].sort((a, b) => a - b)
}

/** The shortest list of them. */
export function formatCpuList(cpus: readonly number[]): string {
  const runs: { first: number; last: number }[] = []
  for (const cpu of cpus) {
    const run = runs.at(-1)
    if (run !== undefined && cpu === run.last + 1) run.last = cpu
    else runs.push({ first: cpu, last: cpu })
  }
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join()
}

/** As the kernel takes masks: hexadecimal, in groups of 32 CPUs, the highest first. */
export function formatCpuMask(cpus: readonly number[]): string {
  const groups = Array.from({ length: 1 + Math.floor(Math.max(0, ...cpus) / 32) }, () => 0)
  for (const cpu of cpus) groups[Math.floor(cpu / 32)]! |= 1 << (cpu % 32)
  return groups
    .map(group => (group >>> 0).toString(16).padStart(8, '0'))
    .reverse()
    .join()
}

export function parseCpuMask(text: string): number[] {
  const groups = text
    .trim()
    .split(',')
    .map(group => Number.parseInt(group, 16))
    .reverse()
  return groups.flatMap((group, place) =>
    Array.from({ length: 32 }, (_, bit) => bit).flatMap(bit =>
      (group >>> bit) & 1 ? [32 * place + bit] : [],
    ),
  )
}
