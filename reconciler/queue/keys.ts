import type { Digest } from '../../schemas/want.ts'
import type { BlobKind } from './state-tree.ts'

/** Of everything that Ballast keeps in Redis. The braces put all of it on one node of a Redis Cluster. */
export const KEY_PREFIX = '{ballast}'

export const wantKey = (node: string): string => `${KEY_PREFIX}:want:${node}`
/** The nodes that have a want. */
export const WANTS_KEY = `${KEY_PREFIX}:wants`

export const reportKey = (node: string): string => `${KEY_PREFIX}:report:${node}`
export const countersKey = (node: string): string => `${KEY_PREFIX}:counters:${node}`
/** That a worker's process runs. */
export const heartbeatKey = (node: string): string => `${KEY_PREFIX}:alive:${node}`
/** The nodes that have reported. */
export const REPORTERS_KEY = `${KEY_PREFIX}:reporters`
/** One entry per report, with the node's name: `report:<node>` holds what it said. */
export const REPORT_STREAM_KEY = `${KEY_PREFIX}:reports`

export const stateKey = (kind: BlobKind, digest: Digest): string => `${KEY_PREFIX}:state:${kind}:${digest}`
export const STATE_KEYS = `${KEY_PREFIX}:state:*`

/** Who leads among the reconcilers, and the number of its lease, which only grows. */
export const LEADER_KEY = `${KEY_PREFIX}:leader`
export const EPOCH_KEY = `${KEY_PREFIX}:epoch`

/** Told by a reconciler to the others; nothing is kept. */
export const POKE_CHANNEL = `${KEY_PREFIX}:poke`

/** That somebody works on a node by hand; gone when it ends. */
export const pauseKey = (node: string): string => `${KEY_PREFIX}:pause:${node}`

/** What only the fleet as a whole shows of its drift. */
export const FLEET_DRIFT_KEY = `${KEY_PREFIX}:fleet-drift`

/** What a receiver of alerts was told. */
export const alertsKey = (receiver: string): string => `${KEY_PREFIX}:alerts:${receiver}`

export const REVISION_KEY = `${KEY_PREFIX}:revision`

/** The record of the rollout that is under way, or was last. */
export const ROLLOUT_KEY = `${KEY_PREFIX}:rollout`
/** What is held at a revision, and by whom. */
export const HOLDS_KEY = `${KEY_PREFIX}:holds`

/** A channel: who listens there is called at once. */
export const callChannel = (node: string): string => `${KEY_PREFIX}:call:${node}`

/** Of BullMQ, which refuses names with a colon. */
export const wakeQueue = (node: string): string => `wake-${node}`

/** A plan that was reviewed, and when each of the latest was. */
export const planKey = (digest: Digest): string => `${KEY_PREFIX}:plan:${digest}`
export const PLANS_KEY = `${KEY_PREFIX}:plans`

/** How much traffic a service had lately. */
export const trafficKey = (service: string): string => `${KEY_PREFIX}:traffic:${service}`
