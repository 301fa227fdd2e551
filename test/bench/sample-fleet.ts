/** Fleets of any size as YAML, one file for a service, as people write them. */
export interface FleetSize {
  readonly services: number
  readonly backends: number
  readonly nodes: readonly string[]
}

/** Name, text. */
export type Files = Iterable<readonly [path: string, text: string]>

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata:\n  name: ${name}\nspec:\n${spec}`

export function* composeFleet({ services, backends, nodes }: FleetSize): Files {
  yield ['fleet.yaml', document('Fleet', 'bench', '  drift: repair\n')]
  for (const [index, node] of nodes.entries()) {
    const spec = [
      '  interfaces:\n    - name: eth0',
      `  sources:\n    ipv4: 10.80.${1 + (index >> 8)}.${index & 255}/32`,
      `  capacity:\n    flows: 65536\n    services: ${Math.max(1024, services)}\n    members: ${services * backends + 1}`,
    ]
    yield [`nodes/${node}.yaml`, document('Node', node, `${spec.join('\n')}\n`)]
  }
  for (let index = 0; index < services; index++) {
    yield [serviceFile(index), composeService(index, backends, 100)]
  }
}

export const serviceFile = (index: number): string =>
  `services/${String(index >> 7).padStart(3, '0')}/service-${index}.yaml`

/** `weight` is that of its first backend: what a change changes. */
export function composeService(index: number, backends: number, weight: number): string {
  const list = Array.from({ length: backends }, (_, at) => {
    const host = index * backends + at
    const address = `10.${100 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}`
    return `    - address: ${address}\n      weight: ${at === 0 ? weight : 100}\n`
  })
  const vip = `198.${18 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`
  const ports = '  ports:\n    - port: 443\n      protocol: tcp\n'
  return document('Service', `service-${index}`, `  vip: ${vip}\n${ports}  backends:\n${list.join('')}`)
}
