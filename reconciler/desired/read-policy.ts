import type { Fleet } from '../../schemas/manifest/fleet.ts'
import { type FleetGuards, OVERRIDE_PREFIX, type ServiceGuards } from '../../schemas/manifest/guards.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import type { Resource } from '../../schemas/manifest/resource.ts'
import type { FreezeWindow, RolloutStrategy } from '../../schemas/manifest/rollout.ts'

/** What a revision says of how it, and the ones after it, may reach the nodes. */
export interface Policy {
  readonly requireReviewedPlan: Fleet['spec']['requireReviewedPlan']
  readonly guards: FleetGuards
  /** Null: all nodes at once. */
  readonly rollout: RolloutStrategy | null
  readonly freeze: readonly FreezeWindow[]
  /** Those that have guards of their own, or an override. */
  readonly services: ReadonlyMap<string, ServicePolicy>
  /** For selectors. */
  readonly nodes: readonly Node[]
}

export interface ServicePolicy {
  readonly guards: ServiceGuards
  /** The text of each override, by what it names. */
  readonly overrides: Readonly<Record<string, string>>
}

export function readPolicy(fleet: Fleet, manifests: readonly Resource[]): Policy {
  const services = new Map<string, ServicePolicy>()
  for (const each of manifests) {
    if (each.kind !== 'Service') continue
    const overrides = overridesOf(each.metadata.annotations)
    if (each.spec.guards !== undefined || overrides !== NONE)
      services.set(each.metadata.name, { guards: each.spec.guards ?? {}, overrides })
  }
  return {
    requireReviewedPlan: fleet.spec.requireReviewedPlan,
    guards: fleet.spec.guards ?? {},
    rollout: fleet.spec.rollout ?? null,
    freeze: fleet.spec.freeze ?? [],
    services,
    nodes: manifests.filter(each => each.kind === 'Node'),
  }
}

const NONE: Readonly<Record<string, string>> = {}

function overridesOf(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  let found = NONE
  for (const name in annotations) {
    if (name.startsWith(OVERRIDE_PREFIX))
      found = { ...found, [name.slice(OVERRIDE_PREFIX.length)]: annotations[name]! }
  }
  return found
}
