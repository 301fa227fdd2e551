import { readFile, rename, writeFile } from 'node:fs/promises'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { digestOf, sha256 } from '../../../schemas/digest.ts'
import type { Edit } from '../../../schemas/edit.ts'
import { type DriverName, NodeTables, type Rows, type Table } from '../../../schemas/node-state.ts'
import type { Driver } from '../driver.ts'

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
  let memory = '{}'

  const load = async (): Promise<string> => {
    if (file === undefined) return memory
    return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}'
      throw error
    })
  }
  const store = async (text: string): Promise<void> => {
    if (file === undefined) {
      memory = text
      return
    }
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
  const read = async (): Promise<Table<Rows[D]>> => {
    const text = await load()
    try {
      return NodeTables.shape[name].parse(JSON.parse(text)) as Table<Rows[D]>
    } catch (cause) {
      throw new BallastError({
        code: 'SIMULATED_TABLE_UNREADABLE',
        message: `${file ?? 'the table'} is no table of ${name}`,
        hint: 'Mend the file, or remove it: an absent one is an empty table.',
        cause,
      })
    }
  }

  return {
    name,
    capabilities: async () => ({ available: true, reason: '' }),
    async observe(keys) {
      const all = await read()
      const rows =
        keys === undefined
          ? all
          : Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key)))
      return { rows, facts: { simulated: true }, digest: digestOf(rows) }
    },
    fingerprint: async () => sha256(await load()),
    async apply(edits: readonly Edit<Rows[D]>[], signal: AbortSignal) {
      const rows = new Map(Object.entries(await read()))
      if (signal.aborted) return edits.map(({ key }) => notTried(key))
      for (const edit of edits) {
        if (edit.op === 'delete') rows.delete(edit.key)
        else rows.set(edit.key, edit.after)
      }
      await store(JSON.stringify(Object.fromEntries(rows)))
      return edits.map(({ key }) => ({ result: 'applied' as const, key }))
    },
    close: async () => {},
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
