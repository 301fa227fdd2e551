import { z } from 'zod'
import { BackendPool } from './manifest/backend-pool.ts'
import { BgpPeer } from './manifest/bgp-peer.ts'
import { Fleet } from './manifest/fleet.ts'
import { Node } from './manifest/node.ts'
import { Resource } from './manifest/resource.ts'
import { Service } from './manifest/service.ts'

const SCHEMAS = {
  ballast: Resource,
  service: Service,
  'backend-pool': BackendPool,
  node: Node,
  'bgp-peer': BgpPeer,
  fleet: Fleet,
} as const

/** JSON Schema (2020-12) of what people write, for editors, by file name. */
export function renderJsonSchemas(): Map<string, string> {
  return new Map(
    Object.entries(SCHEMAS).map(([name, schema]) => [
      `${name}.schema.json`,
      `${JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2)}\n`,
    ]),
  )
}
