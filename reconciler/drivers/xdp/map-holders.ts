import { readdir, readFile, readlink } from 'node:fs/promises'

/** Processes that are told of; of more, their number. */
const NAMED = 3

/**
 * Which other processes hold maps that this one holds: `pid 4711 (bpftool)`. Null: none that lives now. From
 * /proc/<pid>/fdinfo, which the kernel fills for BPF maps with `map_id` (proc(5)); needs root for the processes of others.
 */
export async function findMapHolders(): Promise<string | null> {
  const own = await mapsOf('self')
  if (own.size === 0) return null
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue
    if (own.isDisjointFrom(await mapsOf(pid))) continue
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    found.push(`pid ${pid} (${name.trim()})`)
  }
  if (found.length === 0) return null
  const rest = found.length > NAMED ? ` and ${found.length - NAMED} more` : ''
  return `${found.slice(0, NAMED).join(', ')}${rest}`
}

/** Empty for a process that is gone. */
async function mapsOf(pid: string): Promise<Set<string>> {
  const maps = new Set<string>()
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
    if (!target.includes('bpf-map')) continue
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '')
    const id = /^map_id:\s*(\d+)$/m.exec(info)?.[1]
    if (id !== undefined) maps.add(id)
  }
  return maps
}
