import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { isAbsent } from '../../process/is-absent.ts'

/**
 * What the driver took into its care, and how it was before. Only this is read, changed and given back: everything
 * else in IPVS, on interfaces and in sysctls belongs to others. It is written before what it names is touched, so a
 * killed process leaves nothing that the next one does not know; and it lies where a boot empties it along with the kernel.
 */
const Owned = z.strictObject({
  version: z.literal(1),
  /** VIP → interface. */
  vips: z.record(z.string(), z.string()),
  /** Keys of services by firewall mark. */
  marks: z.array(z.string()),
  /** Roles of sync daemons. */
  sync: z.array(z.enum(['master', 'backup'])),
  /** Name → earlier value. */
  sysctls: z.record(z.string(), z.string()),
  /** The earlier ones; null: not taken. */
  timeouts: z.strictObject({ tcp: z.int(), tcpFin: z.int(), udp: z.int() }).nullable(),
})
export type Owned = z.infer<typeof Owned>

const nothing = (): Owned => ({ version: 1, vips: {}, marks: [], sync: [], sysctls: {}, timeouts: null })

export const ownsNothing = (owned: Owned): boolean =>
  Object.keys(owned.vips).length +
    owned.marks.length +
    owned.sync.length +
    Object.keys(owned.sysctls).length ===
    0 && owned.timeouts === null

/** Without a file, nothing is owned. Throws `IPVS_OWNED_UNREADABLE`. */
export async function readOwned(file: string): Promise<Owned> {
  if (isAbsent(file)) return nothing()
  try {
    return Owned.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return nothing()
    throw new BallastError({
      code: 'IPVS_OWNED_UNREADABLE',
      message: `${file} does not say what Ballast owns in IPVS`,
      hint: 'Remove it: what is wanted is taken again, and what is no longer wanted has to be removed by hand.',
      cause,
    })
  }
}

/** No file when nothing is owned. Throws `IPVS_OWNED_UNWRITABLE`. */
export async function writeOwned(file: string, owned: Owned): Promise<void> {
  try {
    if (ownsNothing(owned)) return await rm(file, { force: true })
    await mkdir(dirname(file), { recursive: true })
    await writeFile(`${file}.new`, JSON.stringify(owned))
    await rename(`${file}.new`, file)
  } catch (cause) {
    throw new BallastError({
      code: 'IPVS_OWNED_UNWRITABLE',
      message: `${file} cannot be written: ${(cause as Error).message}`,
      hint: 'The folder must belong to the worker; without the file nothing in IPVS is touched.',
      retryable: true,
      cause,
    })
  }
}
