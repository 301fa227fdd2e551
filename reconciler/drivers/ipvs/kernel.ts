import { BallastError } from '../../../schemas/ballast-error.ts'
import type { IpvsServiceRow, IpvsSyncRow, IpvsTimeoutsRow, RowKey } from '../../../schemas/node-state.ts'
import { runCommand } from '../../process/run-command.ts'
import { parseAddresses } from './addresses.ts'
import { type ListedBackend, parseListing } from './parse-listing.ts'
import { parseRules, type SavedService } from './parse-rules.ts'
import { parseDaemons, parseTimeouts } from './parse-settings.ts'

/** ms; ten thousand services are written in seconds. */
const TIMEOUT = 60_000
/** Looks at the tables until two outputs of ipvsadm fit together. */
const READS = 5

export interface KernelTexts {
  readonly rules: string
  readonly listing: string
}

/** Services by key, of everybody. */
export interface KernelServices {
  readonly keys: readonly RowKey[]
  /** With the backends in the order in which they were added. Throws `IPVS_OUTPUT_UNREADABLE`. */
  row(key: RowKey): IpvsServiceRow | undefined
  connections(key: RowKey): readonly ListedBackend[]
}

const ipvsadm = async (...args: string[]): Promise<string> =>
  (await runCommand('ipvsadm', args, { timeout: TIMEOUT })).stdout

export async function readTexts(): Promise<KernelTexts> {
  const [rules, listing] = await Promise.all([ipvsadm('-S', '-n'), readListingText()])
  return { rules, listing }
}

const readListingText = () => ipvsadm('-L', '-n', '--thresholds', '--nosort')

export const readListing = async () => parseListing(await readListingText())
export const readTimeouts = async (): Promise<IpvsTimeoutsRow> =>
  parseTimeouts(await ipvsadm('-L', '--timeout'))
export const readDaemons = async (): Promise<IpvsSyncRow[]> => parseDaemons(await ipvsadm('-L', '--daemon'))
export const readAddresses = async () =>
  parseAddresses((await runCommand('ip', ['-j', 'addr', 'show'], { timeout: TIMEOUT })).stdout)

/** Throws `IPVS_RESTLESS` when others never stop writing the services that are asked for. */
export async function readServices(isOurs: (key: RowKey) => boolean): Promise<KernelServices> {
  for (let read = 0; read < READS; read++) {
    const { rules, listing } = await readTexts()
    const [saved, listed] = [parseRules(rules), parseListing(listing)]
    const ours = [...new Set([...saved.keys(), ...listed.keys()])].filter(isOurs)
    if (ours.every(key => agree(saved.get(key), listed.get(key))))
      return {
        keys: [...saved.keys()],
        row: key => {
          const service = saved.get(key)
          return service && joinService(service, listed.get(key) ?? [])
        },
        connections: key => listed.get(key) ?? [],
      }
  }
  throw new BallastError({
    code: 'IPVS_RESTLESS',
    message: `the IPVS services of Ballast changed between two looks, ${READS} times`,
    hint: 'Something else writes them again and again: find it, or give it other VIPs.',
    retryable: true,
  })
}

const idOf = ({ address, port }: { address: string; port: number }): string => `${address} ${port}`

function agree(saved: SavedService | undefined, listed: readonly ListedBackend[] | undefined): boolean {
  if (saved === undefined || listed === undefined) return false
  const ids = new Set(saved.backends.map(idOf))
  return ids.size === listed.length && listed.every(backend => ids.has(idOf(backend)))
}

function joinService(saved: SavedService, listed: readonly ListedBackend[]): IpvsServiceRow {
  const policies = new Map(saved.backends.map(backend => [idOf(backend), backend.policy]))
  return {
    kind: 'service',
    match: saved.match,
    ...saved.policy(),
    backends: listed.map(backend => {
      const { address, port, upper, lower } = backend
      return { address, port, ...policies.get(idOf(backend))!(), upper, lower }
    }),
  }
}

/** Gives what ipvsadm complained about: a kernel that refuses a line is told of on stderr, and the rest goes on. */
export async function restoreRules(lines: readonly string[]): Promise<{ complete: boolean; said: string }> {
  if (lines.length === 0) return { complete: true, said: '' }
  const input = `${lines.join('\n')}\n`
  // 2: a line that ipvsadm itself refuses ends it.
  const { exitCode, stderr } = await runCommand('ipvsadm', ['-R'], {
    input,
    timeout: TIMEOUT,
    okExitCodes: [0, 1, 2, 255],
  })
  return { complete: exitCode === 0, said: [...new Set(stderr.trim().split('\n'))].slice(0, 3).join('; ') }
}

/** One command that changes a setting. Throws `IPVS_REFUSED`. */
export async function changeSetting(args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runCommand('ipvsadm', args, { okExitCodes: [0, 1, 2, 255] })
  if (exitCode === 0) return
  throw new BallastError({
    code: 'IPVS_REFUSED',
    message: `ipvsadm ${args.join(' ')}: ${stderr.trim()}`,
    hint: 'The kernel refused it. A sync daemon needs an interface that is up and has an address, and no backend, of whomever, of another family than its VIP.',
    retryable: true,
  })
}

/** Lines for `ip -batch`; goes on after one that fails, and gives what was said. */
export async function changeAddresses(lines: readonly string[]): Promise<string> {
  if (lines.length === 0) return ''
  const { stderr } = await runCommand('ip', ['-force', '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    okExitCodes: [0, 1, 2],
    timeout: TIMEOUT,
  })
  return stderr.trim().split('\n').slice(0, 3).join('; ')
}
