import fc from 'fast-check'
import { Resource, type ResourceWritten } from '../../schemas/manifest/resource.ts'
import { arbitraryOf } from '../schemas/arbitrary-of.ts'

/** Manifests as people write them: any fields that the schemas take, and whole fleets that the rules take too. */

/** A document that its schema takes. */
export const anyResource: fc.Arbitrary<ResourceWritten> = arbitraryOf(Resource, 'input')

const zones = fc.constantFrom('a', 'b')
const shares = fc.array(fc.record({ weight: fc.integer({ min: 1, max: 200 }), drain: fc.boolean() }), {
  minLength: 1,
  maxLength: 6,
})
/** Usable backends: the first is never drained, so that no rule has anything to say. */
const soundBackends = fc
  .tuple(fc.uniqueArray(fc.nat(60_000), { minLength: 6, maxLength: 6 }), shares)
  .map(([ids, list]) =>
    list.map(({ weight, drain }, i) => ({
      address: `fd00:${(ids[i]! + 1).toString(16)}:0:0::${(i + 1).toString(16)}`,
      weight,
      drain: drain && i > 0,
    })),
  )

/** A fleet that no rule has anything to say about. */
export const soundFleet: fc.Arbitrary<ResourceWritten[]> = fc
  .record({
    nodes: fc.array(zones, { minLength: 1, maxLength: 3 }),
    pools: fc.array(soundBackends, { minLength: 1, maxLength: 3 }),
    services: fc.array(
      fc.record({
        ports: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 2 }),
        protocol: fc.constantFrom('tcp' as const, 'udp' as const),
        backends: fc.oneof(soundBackends, fc.nat(2)),
        everywhere: fc.boolean(),
        both: fc.boolean(),
      }),
      { maxLength: 5 },
    ),
    drift: fc.constantFrom('repair' as const, 'hold' as const),
  })
  .map(({ nodes, pools, services, drift }) => {
    const apiVersion = 'ballast.dev/v1' as const
    return [
      {
        apiVersion,
        kind: 'Fleet',
        metadata: { name: 'fleet' },
        spec: { drift, fleetKey: { fingerprint: '0123456789abcdef' } },
      },
      ...nodes.map(
        (zone, i): ResourceWritten => ({
          apiVersion,
          kind: 'Node',
          metadata: { name: `lb-${i}`, labels: { zone } },
          spec: { interfaces: [{ name: 'eth0' }], sources: { ipv6: `fd01::${i + 1}/128` } },
        }),
      ),
      ...pools.map(
        (list, i): ResourceWritten => ({
          apiVersion,
          kind: 'BackendPool',
          metadata: { name: `pool-${i}` },
          spec: { backends: list },
        }),
      ),
      ...services.map(
        ({ ports: list, protocol, backends: from, everywhere, both }, i): ResourceWritten => ({
          apiVersion,
          kind: 'Service',
          metadata: { name: `service-${i}` },
          spec: {
            vip: both ? [`203.0.113.${i + 1}`, `2001:db8::${i + 1}`] : `203.0.113.${i + 1}`,
            ports: list.map(port => ({ port, protocol })),
            ...(everywhere ? {} : { nodes: { matchLabels: { zone: nodes[0]! } } }),
            ...(typeof from === 'number' ? { pool: `pool-${from % pools.length}` } : { backends: from }),
          },
        }),
      ),
    ] satisfies ResourceWritten[]
  })
