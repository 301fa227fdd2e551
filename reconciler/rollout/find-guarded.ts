import type { Diagnostic } from '../../schemas/diagnostic.ts'
import {
  type Guard,
  OVERRIDE_PREFIX,
  type Override,
  parseOverride,
  type ServiceGuards,
} from '../../schemas/manifest/guards.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import { countSlotsOfSorted } from '../ring/maglev.ts'
import type { ServedService } from './each-service.ts'
import { findLosses, type Losses } from './find-losses.ts'

export interface GuardInput {
  readonly before: DesiredFleet
  readonly after: DesiredFleet
  /** What nodes have counted lately, for live flows; empty: shares of the ring. */
  readonly counters: readonly NodeCounters[]
  /** For overrides, ms since the epoch. */
  readonly now: number
}

/**
 * What the revision would take away that a guard does not allow (rule 10), each as an error. A guard that the
 * revision itself loosens holds as it was: first the guard is changed, then what it guards.
 */
export function findGuarded(input: GuardInput): Diagnostic[] {
  if (!hasGuards(input)) return []
  const losses = findLosses(input.before, input.after)
  return [...judgeVips(input, losses), ...judgeAnnouncements(input, losses), ...judgeBackends(input, losses)]
}

/** Whether a guard counts live flows: nobody else needs to know what nodes have counted. */
export const guardsFlows = (sides: Pick<GuardInput, 'before' | 'after'>): boolean =>
  [sides.before, sides.after].some(
    ({ policy }) =>
      policy.guards.flows !== undefined ||
      [...policy.services.values()].some(({ guards }) => guards.flows !== undefined),
  )

const hasGuards = ({ before, after }: GuardInput): boolean =>
  [before, after].some(
    ({ policy }) => Object.keys(policy.guards).length > 0 || [...policy.services.values()].some(hasOwn),
  )
const hasOwn = ({ guards }: { guards: ServiceGuards }): boolean => Object.keys(guards).length > 0

/** The stricter of the two sides; of a side, what the service says before what the fleet says. Null: no limit. */
function limitOf(
  guard: Exclude<Guard, 'vips'>,
  service: string,
  { before, after }: GuardInput,
): number | null {
  const limits = [before, after].flatMap(
    ({ policy }) => policy.services.get(service)?.guards[guard] ?? policy.guards[guard] ?? [],
  )
  if (limits.length === 0) return null
  return guard === 'minimumHealthy' ? Math.max(...limits) : Math.min(...limits)
}

/**
 * What an override allows, or the limit itself. It counts for the revision that brings it; of a service that goes,
 * for the revision after. Where a share must remain, the override is how little may.
 */
function allowedBy(guard: Guard, service: string, limit: number, input: GuardInput): number {
  const { override, isOld } = findOverride(guard, service, input)
  if (override === null || isOld || override.until <= input.now) return limit
  return guard === 'minimumHealthy' ? Math.min(limit, override.allowed) : Math.max(limit, override.allowed)
}

interface FoundOverride {
  readonly override: Override | null
  /** The revision before had it, and it has let that one through. */
  readonly isOld: boolean
}

function findOverride(guard: Guard, service: string, { before, after }: GuardInput): FoundOverride {
  const [was, is] = [before, after].map(({ policy }) => policy.services.get(service)?.overrides[guard])
  const isGone = !servicesOf(after).has(service)
  const text = isGone ? was : is
  return { override: text === undefined ? null : parseOverride(text), isOld: !isGone && is === was }
}

/** Why an override of what is refused does not help; empty: there is none. */
function explainOverride(guard: Guard, service: string, input: GuardInput): string {
  const { override, isOld } = findOverride(guard, service, input)
  if (override === null) return ''
  if (override.until <= input.now) return ` Its override ended at ${new Date(override.until).toISOString()}.`
  if (isOld)
    return ' Its override is of an earlier revision, and counts for the one that brings or changes it.'
  return ` Its override says ${percent(override.allowed)}.`
}

const known = new WeakMap<DesiredFleet, ReadonlySet<string>>()

function servicesOf(fleet: DesiredFleet): ReadonlySet<string> {
  // Nodes that share their services share the names.
  const distinct = new Set(Array.from(fleet.nodes.values(), ({ names }) => names))
  const found = known.get(fleet) ?? new Set([...distinct].flatMap(names => Object.values(names)))
  known.set(fleet, found)
  return found
}

function judgeVips(input: GuardInput, { vips, vipCount }: Losses): Diagnostic[] {
  const limits = [input.before, input.after].flatMap(({ policy }) => policy.guards.vips ?? [])
  if (limits.length === 0 || vips.length === 0) return []
  const limit = Math.min(...limits)
  const share = vips.length / vipCount
  const counted = vips.filter(({ service }) => allowedBy('vips', service, limit, input) < share)
  if (counted.length / vipCount <= limit) return []
  return [
    refuse(input, 'vips', {
      message: `${counted.length} of ${vipCount} VIPs would go away (${list(counted.map(({ vip }) => vip))}), and at most ${percent(limit)} may.`,
      service: counted[0]!.service,
      size: share,
      isGone: true,
    }),
  ]
}

function judgeAnnouncements(input: GuardInput, { announcements }: Losses): Diagnostic[] {
  return announcements.flatMap(({ vip, service, lost, before }) => {
    const limit = limitOf('announcements', service, input)
    const share = lost.length / before
    if (limit === null || share <= allowedBy('announcements', service, limit, input)) return []
    return [
      refuse(input, 'announcements', {
        message: `${lost.length} of the ${before} nodes that serve ${vip} (${service}) would cease to: ${list(lost)}. At most ${percent(limit)} may.`,
        service,
        size: share,
      }),
    ]
  })
}

function judgeBackends(input: GuardInput, { services }: Losses): Diagnostic[] {
  return services.flatMap(({ service, key, before, after }) => {
    const found: Diagnostic[] = []
    const say = (guard: Guard, size: number, message: string): void => {
      found.push(refuse(input, guard, { message: `${service}: ${message}`, service, size }))
    }
    const inService = before.filter(({ weight }) => weight > 0)
    const left = new Set(after.filter(({ weight }) => weight > 0).map(({ address }) => address))
    const out = inService.filter(({ address }) => !left.has(address))
    const backends = limitOf('backends', service, input)
    const taken = inService.length === 0 ? 0 : out.length / inService.length
    if (backends !== null && taken > allowedBy('backends', service, backends, input)) {
      const who = list(out.map(({ address }) => address))
      const limit = percent(backends)
      say(
        'backends',
        taken,
        `${percent(taken)} of its backends would go out of service (${who}), and at most ${limit} may.`,
      )
    }
    const flows = limitOf('flows', service, input)
    const cut = flows === null ? 0 : shareOfFlows(key, before, after, input.counters)
    if (flows !== null && cut > allowedBy('flows', service, flows, input)) {
      say(
        'flows',
        cut,
        `${percent(cut)} of its flows would lose their backend, and at most ${percent(flows)} may.`,
      )
    }
    const healthy = limitOf('minimumHealthy', service, input)
    const serving = after.length === 0 ? 0 : left.size / after.length
    const worse = inService.length === 0 || serving < inService.length / before.length
    if (healthy !== null && worse && serving < allowedBy('minimumHealthy', service, healthy, input)) {
      say(
        'minimumHealthy',
        serving,
        `only ${percent(serving)} of its backends would get new flows, and at least ${percent(healthy)} must.`,
      )
    }
    return found
  })
}

/** Flows of backends that are members no more: as nodes count them, else as the ring shares them. A drained one keeps its own. */
function shareOfFlows(
  key: RowKey,
  before: ServedService['backends'],
  after: ServedService['backends'],
  counters: readonly NodeCounters[],
): number {
  const stays = new Set(after.map(({ address }) => address))
  const live = counters.flatMap(({ services }) => services[key] ?? [])
  const slots = countSlotsOfSorted(before)
  const ring = before.map(({ address }, index) => ({ address, connections: slots[index] ?? 0 }))
  const flows = live.some(({ connections }) => connections > 0) ? live : ring
  const total = flows.reduce((sum, { connections }) => sum + connections, 0)
  const lost = flows.reduce(
    (sum, { address, connections }) => sum + (stays.has(address) ? 0 : connections),
    0,
  )
  return total === 0 ? 0 : lost / total
}

interface Refusal {
  readonly message: string
  readonly service: string
  readonly size: number
  readonly isGone?: boolean
}

function refuse(
  input: GuardInput,
  guard: Guard,
  { message, service, size, isGone = false }: Refusal,
): Diagnostic {
  // An override is a share itself: never smaller than what is asked for.
  const allowed = guard === 'minimumHealthy' ? Math.floor(size * 100) / 100 : Math.ceil(size * 100) / 100
  const when = isGone ? 'in a commit before this one' : 'in the same commit'
  return {
    rule: `guard-${guard.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`,
    severity: 'error',
    message: `${message}${explainOverride(guard, service, input)}`,
    hint: `Do it in several steps; or, if this is what you want, give the service ${service} the annotation ${OVERRIDE_PREFIX}${guard}: "${allowed} until <time>", ${when}.`,
    at: { file: '.', line: 1, column: 1 },
  }
}

const NAMES_SHOWN = 5
const list = (names: readonly string[]): string =>
  names.slice(0, NAMES_SHOWN).join(', ') +
  (names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '')

const percent = (share: number): string => `${Math.round(1000 * share) / 10} %`
