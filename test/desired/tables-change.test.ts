import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { findDesiredChange } from '../../reconciler/desired/tables-change.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { findTablesChange } from '../../schemas/tables-change.ts'

const text = (kind: string, name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'ballast.dev/v1', kind, metadata: { name }, spec })

interface World {
  /** By node: its MTU. */
  readonly nodes: readonly (number | null)[]
  /** By service: its weight, and the node that it is kept to. */
  readonly services: readonly ({ readonly weight: number; readonly only: number | null } | null)[]
}

const anyWorld: fc.Arbitrary<World> = fc.record({
  nodes: fc.tuple(fc.constant(1500), ...[1, 2].map(() => fc.option(fc.constantFrom(1400, 1500)))),
  services: fc.array(
    fc.option(fc.record({ weight: fc.constantFrom(1, 2), only: fc.option(fc.constantFrom(0, 1)) })),
    { minLength: 3, maxLength: 3 },
  ),
})

const isThere = <Value>(value: Value | null): value is Value => value !== null

function tablesOf({ nodes, services }: World): Map<string, NodeTables> {
  const documents = [
    text('Fleet', 'test', {}),
    ...nodes
      .map((mtu, at) =>
        mtu === null
          ? null
          : text('Node', `lb-${at}`, {
              interfaces: [{ name: 'eth0' }],
              sources: { ipv4: `10.0.0.${at}/32` },
              mtu,
            }),
      )
      .filter(isThere),
    ...services
      .map((service, at) =>
        service === null
          ? null
          : text('Service', `service-${at}`, {
              vip: `203.0.113.${at}`,
              ports: [{ port: 80, protocol: 'tcp' }],
              backends: [{ address: '10.0.1.1', weight: service.weight }],
              nodes: service.only === null ? {} : { names: [`lb-${service.only}`] },
            }),
      )
      .filter(isThere),
  ]
  const { manifests } = parseManifests([{ path: 'a.yaml', text: documents.join('\n---\n') }])
  return new Map([...buildDesired(manifests).nodes].map(([name, { state }]) => [name, state.tables]))
}

/** As somebody else would have made them. */
const plain = (tables: NodeTables): NodeTables => ({ ...tables, xdp: { ...tables.xdp } })

test('what changes between any two nodes of two revisions is what comparing their whole tables finds', () => {
  fc.assert(
    fc.property(anyWorld, anyWorld, (one, other) => {
      const [before, after] = [tablesOf(one), tablesOf(other)]
      for (const was of before.values())
        for (const is of after.values()) {
          const change = findDesiredChange(was, is)
          assert.deepEqual(change, findTablesChange(plain(was), plain(is)))
        }
    }),
    { numRuns: 20 },
  )
})
