import { z } from 'zod'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { XdpServiceRow } from '../../schemas/node-state.ts'
import { OtherRing } from './find-disagreement.ts'
import { readRow } from './traffic-effect.ts'

type Told = Pick<DriftRecord, 'desired' | 'observed'>

/** The fields that differ, as JSON; for what is missing or unexpected the whole row, under the name `row`. */
export function differingFields({
  desired,
  observed,
}: Told): [field: string, desired: string, observed: string][] {
  const text = (value: unknown): string =>
    value === undefined || value === null ? 'nothing' : JSON.stringify(value)
  if (!isObject(desired) || !isObject(observed)) return [['row', text(desired), text(observed)]]
  return [...new Set([...Object.keys(desired), ...Object.keys(observed)])]
    .map((field): [string, string, string] => [field, text(desired[field]), text(observed[field])])
    .filter(([, wanted, found]) => wanted !== found)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `lb-2 lost backend 10.0.1.13 of web (31% of its flows)`: what happened, in one sentence without a full stop. */
export function describeDrift(record: DriftRecord): string {
  return `${record.node} ${describeChange(record)} (${record.effect.text})`
}

function describeChange(record: DriftRecord): string {
  const [desired, observed] = [readRow(record.desired), readRow(record.observed)]
  const name = record.service ?? record.key
  switch (record.kind) {
    case 'missing':
      if (desired?.kind === 'interface') return `lost the program on ${desired.name}`
      return isService(record) ? `lost service ${titleOf(record)}` : `lost ${record.key}`
    case 'unexpected':
      return isService(record)
        ? `has service ${titleOf(record)}, which nobody asked for`
        : `has ${record.key}, which nobody asked for`
    case 'changed':
      if (desired?.kind === 'service' && observed?.kind === 'service') {
        return describeService(name, desired, observed)
      }
      if (observed?.kind === 'interface' && observed.program !== undefined)
        return `has the program ${observed.program} on ${observed.name} in place of its own`
      if (record.desired === null && record.observed === null) return `had another ${record.key}`
      return `has other ${record.key}: ${differingFields(record).map(renderField).join(', ')}`
    case 'unreachable':
      return describeSilence(record)
    case 'rings-disagree':
      return describeDisagreement(record)
    case 'paused': {
      const { by, until, why } = record.observed as Record<string, unknown>
      return `is paused by ${by} until ${until}: ${why}`
    }
    default:
      return `has ${record.key} ${String(record.kind)}`
  }
}

const isService = ({ driver, key }: DriftRecord): boolean => driver === 'xdp' && key.startsWith('service/')

const renderField = ([field, desired, observed]: readonly [string, string, string]): string =>
  `${field} ${observed} in place of ${desired}`

const titleOf = ({ service, key }: DriftRecord): string => {
  const id = key.replace(/^service\//, '')
  return service === null ? id : `${service}, ${id}`
}

/** Named one by one up to so many; the record has all. */
const NAMED = 3

function describeService(name: string, desired: XdpServiceRow, observed: XdpServiceRow): string {
  const weights = (row: XdpServiceRow) => new Map(row.backends.map(each => [each.address, each.weight]))
  const [wanted, found] = [weights(desired), weights(observed)]
  const lost = [...wanted.keys()].filter(address => !found.has(address))
  const extra = [...found.keys()].filter(address => !wanted.has(address))
  const reweighed = [...wanted].filter(
    ([address, weight]) => found.has(address) && found.get(address) !== weight,
  )
  const parts: string[] = []
  if (lost.length > 0) parts.push(`lost ${list(lost)} of ${name}`)
  if (extra.length > 0) parts.push(`has ${list(extra)} in ${name}, which nobody asked for`)
  for (const [address, weight] of reweighed.slice(0, NAMED)) {
    parts.push(`has backend ${address} of ${name} at weight ${found.get(address)} in place of ${weight}`)
  }
  if (reweighed.length > NAMED) parts.push(`has ${reweighed.length - NAMED} more of other weight`)
  // See observeService of the driver: its services are not whole without it.
  if (observed.ring.slots === 0) parts.push(`lost the VIP ${observed.vip} of ${name}`)
  if (observed.ring.differing > 0) {
    parts.push(`has a ring of ${name} that differs in ${observed.ring.differing} slots`)
  }
  const others = differingFields({ desired, observed }).filter(
    ([field]) => field !== 'backends' && field !== 'ring',
  )
  if (others.length > 0) parts.push(`has ${others.map(renderField).join(', ')} in ${name}`)
  return parts.join(' and ') || `has the backends of ${name} in another order`
}

const Hanging = z.object({ hangsIn: z.string() })

function describeSilence({ observed }: DriftRecord): string {
  const hanging = Hanging.safeParse(observed).data
  return hanging === undefined ? 'gives no sign' : `gives signs of life, and hangs in ${hanging.hangsIn}`
}

const Observed = z.object({ services: z.array(OtherRing) })
const Desired = z.object({ on: z.array(z.string()) })

function describeDisagreement({ node, desired, observed }: DriftRecord): string {
  const on = Desired.safeParse(desired).data?.on ?? []
  const services = Observed.safeParse(observed).data?.services ?? []
  const others = on.length === 0 ? 'nodes that serve the same' : enumerate(on)
  if (services.length === 0)
    return `chooses other backends than ${others}, and no node says for which service`
  const named = services.map(each => {
    const [name, slots] = [each.service ?? each.key, each.slots]
    const where = each.node === node ? '' : ` on ${each.node}`
    return `${name} (${slots === null ? 'which nobody asked for' : `${slots} slots`}${where})`
  })
  return `chooses other backends of ${enumerate(named)} than ${others}`
}

function enumerate(names: readonly string[]): string {
  const rest = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return `${names.slice(0, NAMED).join(', ')}${rest}`
}

const list = (addresses: readonly string[]): string => {
  return `${addresses.length === 1 ? 'backend' : 'backends'} ${enumerate(addresses)}`
}

const HOW = {
  repair: 'repaired',
  want: 'settled by a newer revision',
  others: 'put right by somebody else',
} as const

/** `repaired after 12 s`; null while it is there. */
export function describeEnd({ healedAt, healedBy, since }: DriftRecord): string | null {
  if (healedAt === null) return null
  return `${healedBy === undefined ? 'gone' : HOW[healedBy]} after ${renderDuration(healedAt - since)}`
}

/** Why the node leaves it; null when it repairs. */
export function describeHold({ held, writer }: Pick<DriftRecord, 'held' | 'writer'>): string | null {
  if (held === undefined) return null
  if (held === 'policy') return 'held: the policy says to report only'
  if (held === 'pause') return 'held: the node is paused'
  const who = writer === undefined ? 'somebody' : writer
  return `held: ${who} changes it back again and again`
}

/** `40 ms`, `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`. */
export function renderDuration(ms: number): string {
  const seconds = Math.max(ms, 0) / 1000
  if (seconds < 0.1) return `${Math.max(ms, 0)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}
