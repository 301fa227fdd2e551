import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import koffi from 'koffi'
import { openDataplane } from '../../reconciler/drivers/xdp/dataplane.ts'
import { createXdpDriver } from '../../reconciler/drivers/xdp/driver.ts'
import { openMapById } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import { unmountFileSystem } from '../../reconciler/drivers/xdp/libbpf/pins.ts'
import { nodePins } from '../../reconciler/drivers/xdp/node-pins.ts'
import { readTables } from '../../reconciler/drivers/xdp/tables.ts'
import type { Edit } from '../../schemas/edit.ts'
import type { RowBackend, XdpRow, XdpServiceRow } from '../../schemas/node-state.ts'
import { buildObjects, objectFile } from '../bpf/balancer.ts'
import { keyOfRow, serviceRow, settingsRow } from '../drivers/xdp-tables.ts'
import { longestOf, watchTurns } from './watch-turns.ts'

/**
 * `node load-xdp-process.ts POOLS CHANGES`: 1,000 services of 100 backends each, of that many pools, put into the
 * kernel from nothing; then, one after the other, a backend is added to one of them. Prints JSON: `load`, ms, and its
 * `cpu` time; `kernel`, MiB of all maps but the flow table; `adds`, ms of each until it was read back, and `addCpu`,
 * CPU time of one; `loading` and `adding`, ms that the event loop was kept at most, and `loadingTurn` and `addingTurn`,
 * its longest turns. In a network namespace and a BPF file system of its own.
 */
const SERVICES = 1000
const BACKENDS = 100
const CLONE_NEWNET = 0x40000000

const [pools, changes] = process.argv.slice(2).map(Number) as [number, number]
if (koffi.load(null).func('int unshare(int flags)')(CLONE_NEWNET) !== 0) throw new Error('needs root')
await buildObjects()
const directory = mkdtempSync(join(tmpdir(), 'ballast-load-'))
const bpffs = join(directory, 'bpf')

const backend = (pool: number, index: number): RowBackend => ({
  address: `10.${pool >> 8}.${pool & 255}.${index}`,
  weight: 1,
})
const service = (index: number, backends = BACKENDS): XdpServiceRow =>
  serviceRow({
    vip: `203.0.${113 + (index >> 8)}.${index & 255}`,
    backends: Array.from({ length: backends }, (_, i) => backend(index % pools, i + 1)),
  })
const createOf = (row: XdpRow): Edit<XdpRow> => ({ op: 'create', key: keyOfRow(row), after: row })

try {
  const driver = createXdpDriver({ node: 'load', bpffs, objectFile: objectFile('lb') })
  const { signal } = new AbortController()
  const apply = async (edits: readonly Edit<XdpRow>[]): Promise<void> => {
    const failed = (await driver.apply(edits, signal)).find(({ result }) => result !== 'applied')
    if (failed !== undefined) throw new Error(JSON.stringify(failed))
  }
  const capacity = { flows: 1_000_000, services: 1000, members: 101_000 }
  await apply([createOf(settingsRow({ capacity }))])

  const rows = Array.from({ length: SERVICES }, (_, index) => service(index))
  const creates = rows.map(createOf)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const turns = watchTurns()
  const started = performance.now()
  const cpuBefore = process.cpuUsage()
  await apply(creates)
  const load = performance.now() - started
  const { user, system } = process.cpuUsage(cpuBefore)
  await driver.observe()
  const loading = delay.max / 1e6
  const loadingTurn = longestOf(turns.take())

  delay.reset()
  const cpuAdding = process.cpuUsage()
  const adds: number[] = []
  for (let change = 0; change < changes; change++) {
    const index = (change * 37) % SERVICES
    const [before, after] = [rows[index]!, service(index, BACKENDS + 1)]
    const since = performance.now()
    await apply([{ op: 'update', key: keyOfRow(after), before, after }])
    const { rows: seen } = await driver.observe([keyOfRow(after)])
    adds.push(performance.now() - since)
    const found = seen[keyOfRow(after)]
    if (found?.kind !== 'service' || found.backends.length !== BACKENDS + 1) throw new Error('not there')
  }
  const adding = delay.max / 1e6
  const addingTurn = longestOf(turns.take())
  turns.end()
  const used = process.cpuUsage(cpuAdding)
  console.log(
    JSON.stringify({
      load,
      cpu: (user + system) / 1000,
      loading,
      loadingTurn,
      adds,
      addCpu: (used.user + used.system) / 1000 / Math.max(1, changes),
      adding,
      addingTurn,
      kernel: await kernelMemory(),
    }),
  )
} finally {
  unmountFileSystem(bpffs)
  rmSync(directory, { recursive: true })
}

/** MiB, as the kernel accounts for them. */
async function kernelMemory(): Promise<number> {
  using dataplane = openDataplane(nodePins(bpffs, 'load'))
  if (dataplane === undefined) throw new Error('nothing is loaded')
  const { rings } = await readTables(dataplane)
  const own = Object.entries(dataplane.maps).flatMap(([name, { info }]) =>
    name === 'flows' ? [] : [info.id],
  )
  let bytes = 0
  for (const id of new Set([...own, ...rings.values()])) {
    using map = openMapById(id)
    if (map === undefined) continue
    bytes += Number(/^memlock:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${map.fd}`, 'utf8'))?.[1])
  }
  return bytes / 2 ** 20
}
