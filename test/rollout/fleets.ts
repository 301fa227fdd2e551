import assert from 'node:assert/strict'
import { buildDesired, type DesiredFleet } from '../../reconciler/desired/build-desired.ts'
import { checkRules } from '../../reconciler/manifest/check-rules.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

export interface FleetOf {
  /** Fields of `Fleet.spec`. */
  readonly spec?: object
  /** Labels by node. */
  readonly nodes?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** By name; `backends`: last bytes, negative ones are drained. */
  readonly services?: Readonly<
    Record<
      string,
      {
        readonly vip: number
        readonly backends: readonly number[]
        readonly on?: readonly string[]
        readonly dataplane?: 'ipvs'
        readonly guards?: object
        readonly annotations?: Readonly<Record<string, string>>
      }
    >
  >
}

/** A valid fleet, as it is desired. */
export function desire(shape: FleetOf): DesiredFleet {
  const documents = [
    { kind: 'Fleet', metadata: { name: 'test' }, spec: shape.spec ?? {} },
    ...Object.entries(shape.nodes ?? { 'lb-1': {}, 'lb-2': {} }).map(([name, labels]) => ({
      kind: 'Node',
      metadata: { name, labels },
      spec: { interfaces: [{ name: 'eth0' }], sources: { ipv4: '10.0.0.1/32' } },
    })),
    ...Object.entries(shape.services ?? {}).map(
      ([name, { vip, backends, on, dataplane, guards, annotations }]) => ({
        kind: 'Service',
        metadata: { name, annotations: annotations ?? {} },
        spec: {
          vip: `203.0.113.${vip}`,
          ports: [{ port: 80, protocol: 'tcp' }],
          ...(dataplane && { dataplane }),
          nodes: on === undefined ? {} : { names: on },
          backends: backends.map(host => ({ address: `10.0.1.${Math.abs(host)}`, drain: host < 0 })),
          ...(guards && { guards }),
        },
      }),
    ),
  ]
  const text = documents
    .map(each => JSON.stringify({ apiVersion: 'ballast.dev/v1', ...each }))
    .join('\n---\n')
  const tree = parseManifests([{ path: 'fleet.yaml', text }])
  const found = [...tree.diagnostics, ...checkRules(tree)].filter(({ severity }) => severity === 'error')
  assert.deepEqual(found, [])
  return buildDesired(tree.manifests)
}
