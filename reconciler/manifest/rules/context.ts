import type { Backend } from '../../../schemas/manifest/backend.ts'
import type { BackendPool } from '../../../schemas/manifest/backend-pool.ts'
import type { Node } from '../../../schemas/manifest/node.ts'
import { KINDS } from '../../../schemas/manifest/resource.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import type { Manifest, ManifestOf, ManifestTree } from '../manifest.ts'
import { selectNodes } from '../select-nodes.ts'
import type { BackendSet, CheckOptions, RuleContext } from './rule.ts'

export function createRuleContext(tree: ManifestTree, options: CheckOptions): RuleContext {
  const ofKind = <K extends Manifest['kind']>(kind: K) =>
    tree.manifests.filter((each): each is Extract<Manifest, { kind: K }> => each.kind === kind)
  const services = ofKind('Service')
  const nodes = ofKind('Node')
  const pools = new Map<string, ManifestOf<BackendPool>>()
  for (const pool of ofKind('BackendPool'))
    if (!pools.has(pool.metadata.name)) pools.set(pool.metadata.name, pool)

  const sets = new Map<ManifestOf<Service> | ManifestOf<BackendPool>, BackendSet>()
  for (const pool of pools.values()) sets.set(pool, backendSet(pool, pool.spec.backends))
  for (const service of services)
    if (service.spec.backends !== undefined) sets.set(service, backendSet(service, service.spec.backends))

  const selected = new Map<ManifestOf<Service>, readonly ManifestOf<Node>[]>()
  /** Most services have one of a few selectors. */
  const bySelector = new Map<string, readonly ManifestOf<Node>[]>()
  const select = ({ spec }: ManifestOf<Service>): readonly ManifestOf<Node>[] => {
    const selector = selectorText(spec.nodes)
    const found = bySelector.get(selector) ?? selectNodes(spec.nodes, nodes)
    bySelector.set(selector, found)
    return found
  }
  return {
    tree,
    root: { file: options.root ?? '.', line: 1, column: 1 },
    services,
    pools,
    nodes,
    fleets: ofKind('Fleet'),
    backendSets: [...sets.values()],
    backendsOf: service => {
      const pool = service.spec.pool === undefined ? undefined : pools.get(service.spec.pool)
      if (service.spec.backends !== undefined)
        return service.spec.pool === undefined ? sets.get(service)! : null
      return (pool && sets.get(pool)) ?? null
    },
    nodesOf: service => {
      const known = selected.get(service) ?? select(service)
      selected.set(service, known)
      return known
    },
    mayExist: (kind, name) =>
      options.incomplete === true ||
      tree.broken.some(
        each =>
          (each.kind === kind || each.kind === null || !Object.hasOwn(KINDS, each.kind)) &&
          (name === null || each.name === name || each.name === null),
      ),
  }
}

const selectors = new WeakMap<object, string>()

function selectorText(selector: object): string {
  const known = selectors.get(selector) ?? JSON.stringify(selector)
  selectors.set(selector, known)
  return known
}

/** By list: those of a manifest that did not change are the very same. */
const facts = new WeakMap<readonly Backend[], Omit<BackendSet, 'owner'>>()

function backendSet(owner: BackendSet['owner'], backends: readonly Backend[]): BackendSet {
  const known = facts.get(backends) ?? readBackends(backends)
  facts.set(backends, known)
  return { owner, ...known }
}

function readBackends(backends: readonly Backend[]): Omit<BackendSet, 'owner'> {
  const ports = new Map<number, number>()
  let firstIpv4: number | null = null
  let firstIpv6: number | null = null
  for (const [index, { address, port }] of backends.entries()) {
    if (port !== undefined && !ports.has(port)) ports.set(port, index)
    // Addresses are canonical: an IPv6 address always has a colon.
    if (address.includes(':')) firstIpv6 ??= index
    else firstIpv4 ??= index
  }
  return { backends, firstIpv4, firstIpv6, ports }
}
