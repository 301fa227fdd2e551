import { readFile, rename, writeFile } from 'node:fs/promises'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { changeTable } from '../../../schemas/changed-table.ts'
import { sha256 } from '../../../schemas/digest.ts'
import type { Edit } from '../../../schemas/edit.ts'
import {
  type DriverName,
  NodeTables,
  type RowKey,
  type Rows,
  type Table,
} from '../../../schemas/node-state.ts'
import type { Driver } from '../driver.ts'
import { createTableDigest, digestTable } from '../table-digest.ts'

export interface SimulatedOptions<D extends DriverName> {
  readonly name: D
  /** A JSON file that stands for the kernel: it outlives the process, and anybody may edit it. In memory when left out. */
  readonly file?: string
}

/** A table without a dataplane behind it: for a laptop without root, and for fleets of hundreds of nodes on one machine. */
export function createSimulatedDriver<D extends DriverName>({
  name,
  file,
}: SimulatedOptions<D>): Driver<Rows[D]> {
  const store = file === undefined ? keepInMemory<Rows[D]>() : keepInFile(name, file)
  const digestAll = createTableDigest()

  return {
    name,
    capabilities: async () => ({ available: true, reason: '' }),
    async observe(keys) {
      const fingerprint = await store.fingerprint()
      const all = await store.read()
      const rows =
        keys === undefined
          ? all
          : Object.fromEntries(keys.flatMap(key => (all[key] === undefined ? [] : [[key, all[key]]])))
      return {
        rows,
        fingerprint,
        facts: { simulated: true },
        digest: keys === undefined ? digestAll(rows) : digestTable(rows),
      }
    },
    fingerprint: store.fingerprint,
    async apply(edits: readonly Edit<Rows[D]>[], signal: AbortSignal) {
      const rows = await store.read()
      if (signal.aborted) return edits.map(({ key }) => notTried(key))
      const put: Record<RowKey, Rows[D]> = {}
      const removed: RowKey[] = []
      for (const edit of edits) {
        if (edit.op === 'delete') removed.push(edit.key)
        else put[edit.key] = edit.after
      }
      await store.write(changeTable(rows, { put, removed }))
      return edits.map(({ key }) => ({ result: 'applied' as const, key }))
    },
    close: async () => {},
  }
}

interface TableStore<Row> {
  read(): Promise<Table<Row>>
  write(rows: Table<Row>): Promise<void>
  fingerprint(): Promise<string>
}

function keepInMemory<Row>(): TableStore<Row> {
  let rows: Table<Row> = {}
  let writes = 0
  return {
    read: async () => rows,
    async write(next) {
      rows = next
      writes++
    },
    fingerprint: async () => String(writes),
  }
}

function keepInFile<D extends DriverName>(name: D, file: string): TableStore<Rows[D]> {
  const load = (): Promise<string> =>
    readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}'
      throw error
    })
  return {
    async read() {
      const text = await load()
      try {
        return NodeTables.shape[name].parse(JSON.parse(text)) as Table<Rows[D]>
      } catch (cause) {
        throw new BallastError({
          code: 'SIMULATED_TABLE_UNREADABLE',
          message: `${file} is no table of ${name}`,
          hint: 'Mend the file, or remove it: an absent one is an empty table.',
          cause,
        })
      }
    },
    async write(rows) {
      await writeFile(`${file}.new`, JSON.stringify(rows))
      await rename(`${file}.new`, file)
    },
    fingerprint: async () => sha256(await load()),
  }
}

const notTried = (key: string) => ({
  result: 'failed' as const,
  key,
  code: 'ABORTED',
  message: 'a newer want came first',
  hint: 'Nothing needs to be done.',
  retryable: true,
})
