import { sha256 } from '../../../schemas/digest.ts'
import type { IpvsRow, RowKey } from '../../../schemas/node-state.ts'
import type { Facts } from '../../../schemas/report.ts'
import { withRowOrder } from './backend-order.ts'
import {
  type KernelServices,
  readAddresses,
  readDaemons,
  readServices,
  readTexts,
  readTimeouts,
} from './kernel.ts'
import { type Owned, ownsNothing } from './owned-file.ts'
import { parseEndpoint } from './service-match.ts'
import { readSysctl } from './sysctls.ts'

/** Whether a service of this key is Ballast's. */
export function createOwnership(owned: Owned): (key: RowKey) => boolean {
  const marks = new Set(owned.marks)
  return key => (key.startsWith('fwmark/') ? marks.has(key) : vipOf(key) in owned.vips)
}

const vipOf = (key: RowKey): string =>
  parseEndpoint(key.slice('service/'.length, key.lastIndexOf('/'))).address

export interface SeenIpvs {
  readonly rows: Record<RowKey, IpvsRow>
  readonly facts: Facts
}

/** Where nothing is owned, nothing is run: a node without IPVS needs none of its tools. */
export async function observeIpvs(owned: Owned): Promise<SeenIpvs> {
  if (ownsNothing(owned)) return { rows: {}, facts: {} }
  const isOurs = createOwnership(owned)
  const services = await readServices(isOurs)
  const ours = services.keys.filter(isOurs)
  const rows: Record<RowKey, IpvsRow> = {}
  for (const key of ours) rows[key] = withRowOrder(services.row(key)!)
  for (const row of await observeSettings(owned)) rows[rowKeyOf(row)] = row
  return { rows, facts: countFacts(services, ours) }
}

async function observeSettings(owned: Owned): Promise<Exclude<IpvsRow, { kind: 'service' }>[]> {
  const [holders, daemons] = [await readAddresses(), owned.sync.length > 0 ? await readDaemons() : []]
  const values = await Promise.all(
    Object.keys(owned.sysctls).map(async name => ({ name, value: await readSysctl(name) })),
  )
  return [
    ...Object.entries(owned.vips).map(([address, wanted]) => ({
      kind: 'vip' as const,
      address,
      interface: holderOf(wanted, holders.get(address) ?? []),
    })),
    ...(owned.timeouts === null ? [] : [await readTimeouts()]),
    ...daemons.filter(({ role }) => owned.sync.includes(role)),
    ...values.flatMap(({ name, value }) =>
      value === null ? [] : [{ kind: 'sysctl' as const, name, value }],
    ),
  ]
}

/** One that should not have it, if there is one. */
const holderOf = (wanted: string, holders: readonly string[]): string =>
  holders.find(name => name !== wanted) ?? holders[0] ?? ''

function rowKeyOf(row: Exclude<IpvsRow, { kind: 'service' }>): RowKey {
  switch (row.kind) {
    case 'vip':
      return `vip/${row.address}`
    case 'timeouts':
      return 'timeouts'
    case 'sync':
      return `sync/${row.role}`
    case 'sysctl':
      return `sysctl/${row.name}`
  }
}

function countFacts(services: KernelServices, ours: readonly RowKey[]): Facts {
  const listed = ours.flatMap(key => services.connections(key))
  const sum = (column: 'active' | 'inactive') => listed.reduce((total, backend) => total + backend[column], 0)
  return {
    services: ours.length,
    foreignServices: services.keys.length - ours.length,
    activeConnections: sum('active'),
    inactiveConnections: sum('inactive'),
  }
}

/** Of all that rows are made of; the services of others change it too. */
export async function fingerprintIpvs(owned: Owned): Promise<string> {
  if (ownsNothing(owned)) return 'nothing'
  const { rules, listing } = await readTexts()
  // Without the last two columns, which are connections.
  const thresholds = listing.replaceAll(/( +\d+){2} *$/gm, '')
  return sha256(JSON.stringify([owned, rules, thresholds, await observeSettings(owned)]))
}
