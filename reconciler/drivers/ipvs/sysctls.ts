import { readFile, writeFile } from 'node:fs/promises'
import { BallastError } from '../../../schemas/ballast-error.ts'

/** Names as sysctl(8) takes them: dots between the parts, and `/` for a dot inside one (`net.ipv4.conf.eth0/7.arp_ignore`). */
function pathOf(name: string): string {
  const parts = name.split('.').map(part => part.replaceAll('/', '.'))
  // None may lead out of the folder.
  if (parts.some(part => /^\.*$/.test(part))) throw failed(name, 'found', new TypeError('it is no name'))
  return `/proc/sys/${parts.join('/')}`
}

/** White space between numbers is one blank. Null where the kernel has no such sysctl. */
export async function readSysctl(name: string): Promise<string | null> {
  try {
    return (await readFile(pathOf(name), 'utf8')).trim().replaceAll(/\s+/g, ' ')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw failed(name, 'read', error)
  }
}

/** Throws `SYSCTL_FAILED`. */
export async function writeSysctl(name: string, value: string): Promise<void> {
  try {
    await writeFile(pathOf(name), value, { flag: 'r+' })
  } catch (error) {
    throw failed(name, `set to ${value}`, error)
  }
}

const failed = (name: string, what: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'SYSCTL_FAILED',
    message: `the sysctl ${name} cannot be ${what}: ${(cause as Error).message}`,
    hint: 'Compare its name and value with `sysctl -a` on the node; those of net.ipv4.vs come with the module ip_vs.',
    retryable: true,
    cause,
  })
