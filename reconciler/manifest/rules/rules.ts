import { accessRules } from './access-rules.ts'
import { addressRules } from './address-rules.ts'
import { aggregateRules } from './aggregate-rules.ts'
import { announceRules } from './announce-rules.ts'
import { backendRules } from './backend-rules.ts'
import { bgpPeerRules } from './bgp-peer-rules.ts'
import { dataplaneRules } from './dataplane-rules.ts'
import { forwardingRules } from './forwarding-rules.ts'
import { ipvsRules } from './ipvs-rules.ts'
import { nodeRules } from './node-rules.ts'
import { portRules } from './port-rules.ts'
import { quicRules } from './quic-rules.ts'
import { referenceRules } from './reference-rules.ts'
import { rolloutRules } from './rollout-rules.ts'
import type { Rule } from './rule.ts'
import { treeRules } from './tree-rules.ts'
import { vipRules } from './vip-rules.ts'

/** Everything that must hold beyond the schemas. docs/manifests.md lists them. */
export const RULES: readonly Rule[] = [
  ...treeRules,
  ...referenceRules,
  ...vipRules,
  ...portRules,
  ...accessRules,
  ...quicRules,
  ...backendRules,
  ...dataplaneRules,
  ...forwardingRules,
  ...ipvsRules,
  ...nodeRules,
  ...addressRules,
  ...bgpPeerRules,
  ...announceRules,
  ...aggregateRules,
  ...rolloutRules,
]
