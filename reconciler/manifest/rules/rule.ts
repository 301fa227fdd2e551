import type { Diagnostic, Position } from '../../../schemas/diagnostic.ts'
import type { Backend } from '../../../schemas/manifest/backend.ts'
import type { BackendPool } from '../../../schemas/manifest/backend-pool.ts'
import type { Fleet } from '../../../schemas/manifest/fleet.ts'
import type { Node } from '../../../schemas/manifest/node.ts'
import type { Kind } from '../../../schemas/manifest/resource.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf, ManifestTree } from '../manifest.ts'

/** One thing that must hold between manifests, or between the fields of one. */
export interface Rule {
  /** Stable: it stands in every diagnostic and in docs/manifests.md. */
  readonly id: string
  readonly severity: Diagnostic['severity']
  /**
   * What it finds of a service depends on that and the backends that it has, and of a backend set on that: on no other, and not on
   * what they are called. It is only asked about those in which it and its like found something when last asked, or never
   * were. Else it looks at several together, and at all of them each time.
   */
  readonly local?: true
  /** Every place where it does not hold. */
  check(context: RuleContext): Iterable<Finding>
}

export type Finding = Pick<Diagnostic, 'at' | 'message' | 'hint'>

/** The manifests as rules look at them. */
export interface RuleContext {
  readonly tree: ManifestTree
  /** Where a finding stands that belongs to no file. */
  readonly root: Position
  readonly services: readonly ManifestOf<Service>[]
  readonly pools: ReadonlyMap<string, ManifestOf<BackendPool>>
  readonly nodes: readonly ManifestOf<Node>[]
  readonly fleets: readonly ManifestOf<Fleet>[]
  /** Backends that stand together: those of every pool, and those inside services. */
  readonly backendSets: readonly BackendSet[]
  /** The backends of a service; null when it names none that exist, or two sources. */
  backendsOf(service: ManifestOf<Service>): BackendSet | null
  nodesOf(service: ManifestOf<Service>): readonly ManifestOf<Node>[]
  /** Whether a document that could not be read may be the one. */
  mayExist(kind: Kind, name: string | null): boolean
}

/** A list of backends, and what rules ask of it for every service that uses it. */
export interface BackendSet {
  readonly owner: ManifestOf<Service> | ManifestOf<BackendPool>
  readonly backends: readonly Backend[]
  /** Where the first backend of a family stands in `backends`; null: there is none. */
  readonly firstIpv4: number | null
  readonly firstIpv6: number | null
  /** Where the first backend that gives a port stands, by port. */
  readonly ports: ReadonlyMap<number, number>
}

export interface CheckOptions {
  /** The path that the manifests were read from: findings that belong to no file are said of it. Default `.`. */
  readonly root?: string
  /** Files of the tree could not be read at all, so that anything may be missing from it. Default false. */
  readonly incomplete?: boolean
}
