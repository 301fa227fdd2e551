import { isDeepStrictEqual } from 'node:util'
import type { BgpPeer } from '../../schemas/manifest/bgp-peer.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type { BgpRouteRow } from '../../schemas/node-state.ts'
import { familyOf, prefixFor } from '../manifest/announcements.ts'
import { selectNodes } from '../manifest/select-nodes.ts'
import type { Proposal, ProposalInput, Written } from './adopt-edits.ts'
import type { ValueChange } from './edit-manifest.ts'

type Announced = Exclude<Service['spec']['announce'], false | undefined>

/** Changes of the Service that announces the prefix, or whose VIP it is. Text: why there is none. */
export function proposeRoute(input: ProposalInput, row: BgpRouteRow | null): readonly Proposal[] | string {
  const prefix = input.record.key.slice('route/'.length)
  const services = servicesOn(input)
  const announcing = services.filter(({ resource: { spec } }) => {
    const { announce } = spec
    return (
      announce !== undefined &&
      announce !== false &&
      spec.vip.some(vip => prefixFor(vip, announce) === prefix)
    )
  })
  if (announcing.length > 1)
    return `${announcing.map(({ resource }) => resource.metadata.name).join(' and ')} announce ${prefix} together: change both by hand.`
  const [announcer] = announcing
  if (row === null) return announcer === undefined ? [] : [proposeSilence(announcer)]
  if (announcer !== undefined) return proposeAttributes(input, announcer, row)
  const owners = services.filter(({ resource: { spec } }) => spec.vip.some(vip => isAlone(vip, prefix)))
  return owners.length === 0
    ? `${prefix} is the VIP of no Service on ${input.record.node}, and only VIPs are announced.`
    : owners.map(owner => proposeWhole(input, owner, row))
}

const isAlone = (vip: string, prefix: string): boolean =>
  prefix === `${vip}/${familyOf(vip) === 'ipv4' ? 32 : 128}`

function servicesOn({ written, record }: ProposalInput): Written<Service>[] {
  const nodes = written.flatMap(({ resource }) => (resource.kind === 'Node' ? [resource] : []))
  return written.filter(
    (each): each is Written<Service> =>
      each.resource.kind === 'Service' &&
      selectNodes(each.resource.spec.nodes, nodes).some(({ metadata }) => metadata.name === record.node),
  )
}

const nameOf = ({ resource }: Written<Service>): string => `Service ${resource.metadata.name}`

const proposeSilence = (at: Written<Service>): Proposal => ({
  ...{ kind: 'values', what: nameOf(at), at },
  changes: [{ op: 'delete', path: ['spec', 'announce'] }],
})

/** Field by field where fields are written, else all of it. */
function proposeAttributes(input: ProposalInput, at: Written<Service>, row: BgpRouteRow): Proposal[] {
  const was = at.resource.spec.announce as Announced
  const changes = Object.entries(attributesOf(input, row)).flatMap(([field, value]): ValueChange[] => {
    const before = was[field as keyof Announced]
    const path = ['spec', 'announce', field]
    if (isDeepStrictEqual(before, value) || isUnsaid(before, value)) return []
    return isUnsaid(undefined, value) ? [{ op: 'delete', path }] : [{ op: 'set', path, value }]
  })
  return [{ kind: 'values', what: nameOf(at), at, changes }, proposeWhole(input, at, row)]
}

const isNothing = (value: unknown): boolean =>
  value === undefined || value === 0 || (Array.isArray(value) && value.length === 0)
/** Both are as when nothing is written. A MED of 0 is one, and is never `undefined` here. */
const isUnsaid = (before: unknown, value: unknown): boolean =>
  isNothing(before) && isNothing(value) && value !== 0

function proposeWhole(input: ProposalInput, at: Written<Service>, row: BgpRouteRow): Proposal {
  const { aggregate, minHealthyBackends = 1 } = at.resource.spec.announce || ({} as Partial<Announced>)
  const said = Object.entries({
    ...attributesOf(input, row),
    aggregate,
    ...(minHealthyBackends !== 1 && { minHealthyBackends }),
  }).filter(([field, value]) => value !== undefined && !(isNothing(value) && field !== 'med'))
  const value = said.length === 0 ? true : Object.fromEntries(said)
  return {
    ...{ kind: 'values', what: nameOf(at), at },
    changes: [{ op: 'set', path: ['spec', 'announce'], value }],
  }
}

function attributesOf({ fleet, record }: ProposalInput, row: BgpRouteRow) {
  const sessions = Object.values(fleet.nodes.get(record.node)!.state.tables.bgp)
    .flatMap(each =>
      each.kind === 'peer' && each.families.includes(familyOf(row.prefix)) ? [each.name] : [],
    )
    .sort()
  return {
    peers: isDeepStrictEqual(sessions, row.peers) ? undefined : row.peers,
    communities: row.communities,
    largeCommunities: row.largeCommunities,
    med: row.med ?? undefined,
    localPreference: row.localPreference ?? undefined,
    prepend: row.prepend,
  }
}

/** The session is not wanted there any more. */
export function proposePeerLoss({ written, record }: ProposalInput): readonly Proposal[] | string {
  const name = record.key.slice('peer/'.length)
  const at = written.find(
    (each): each is Written<BgpPeer> =>
      each.resource.kind === 'BgpPeer' && each.resource.metadata.name === name,
  )
  if (at === undefined) return `No manifest of BgpPeer ${name} was found.`
  const nodes = written.flatMap(({ resource }) => (resource.kind === 'Node' ? [resource] : []))
  const rest = selectNodes(at.resource.spec.nodes, nodes)
    .filter(({ metadata, spec }) => metadata.name !== record.node && spec.bgp !== undefined)
    .map(({ metadata }) => metadata.name)
    .sort()
  const what = `BgpPeer ${name}`
  return rest.length === 0
    ? [{ kind: 'drop', what, at }]
    : [{ kind: 'values', what, at, changes: [{ op: 'set', path: ['spec', 'nodes', 'names'], value: rest }] }]
}
