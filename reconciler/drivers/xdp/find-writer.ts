import { readdir, readFile, readlink } from 'node:fs/promises'
import { XdpRow } from '../../../schemas/node-state.ts'
import type { DriftItem } from '../../../schemas/report.ts'
import { openDataplane } from './dataplane.ts'
import { nodePins } from './node-pins.ts'

/** Processes that are told of; of more, their number. */
const NAMED = 3

/** What fdinfo(5) has of an object of BPF: the name of the file, and the field with its id. */
const OBJECTS = { map: /^map_id:\s*(\d+)$/m, prog: /^prog_id:\s*(\d+)$/m } as const

/**
 * Who else may write what a row is made of, as far as it lives now: `pid 4711 (bpftool)`. Of an interface with another program, who
 * holds that; of all else, who holds maps of the node's program. Null: nobody is known, and what was done by a program that
 * has ended, or by netlink, leaves no trace. Needs root for the processes of others.
 */
export async function findWriter(
  { bpffs, node }: { readonly bpffs: string; readonly node: string },
  { driver, observed }: Pick<DriftItem, 'driver' | 'observed'>,
): Promise<string | null> {
  if (driver !== 'xdp') return null
  const row = XdpRow.safeParse(observed).data
  if (row?.kind === 'interface' && row.program !== undefined) {
    const id = /\(id (\d+)\)$/.exec(row.program)?.[1]
    const holders = id === undefined ? null : await findHolders('prog', new Set([id]))
    return holders === null ? `the program ${row.program}` : `${holders} with the program ${row.program}`
  }
  using dataplane = openDataplane(nodePins(bpffs, node))
  const ids = Object.values(dataplane?.maps ?? {}).map(({ info }) => String(info.id))
  return findHolders('map', new Set(ids))
}

async function findHolders(object: keyof typeof OBJECTS, ids: ReadonlySet<string>): Promise<string | null> {
  if (ids.size === 0) return null
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue
    if ((await idsOf(pid, object)).isDisjointFrom(ids)) continue
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    found.push(`pid ${pid} (${name.trim()})`)
  }
  if (found.length === 0) return null
  const rest = found.length > NAMED ? ` and ${found.length - NAMED} more` : ''
  return `${found.slice(0, NAMED).join(', ')}${rest}`
}

/** Empty for a process that is gone. */
async function idsOf(pid: string, object: keyof typeof OBJECTS): Promise<Set<string>> {
  const ids = new Set<string>()
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
    if (!target.includes(`bpf-${object}`)) continue
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '')
    const id = OBJECTS[object].exec(info)?.[1]
    if (id !== undefined) ids.add(id)
  }
  return ids
}
