import { join } from 'node:path'
import { pinName } from './libbpf/pins.ts'

/** Where a node's objects are pinned: any tool may look at them there. */
export interface NodePins {
  readonly bpffs: string
  readonly root: string
  readonly program: string
  readonly links: string
  /** See receive-cpus/claims.ts. */
  readonly claims: string
  /** All that pins are in. */
  readonly folders: readonly string[]
  link(interfaceName: string): string
  map(name: string): string
}

export function nodePins(bpffs: string, node: string): NodePins {
  const root = join(bpffs, 'ballast', pinName(node))
  const links = join(root, 'link')
  return {
    bpffs,
    root,
    program: join(root, 'prog', 'lb'),
    links,
    claims: join(root, 'cpus'),
    folders: [join(root, 'prog'), links, join(root, 'maps')],
    link: name => join(links, pinName(name)),
    map: name => join(root, 'maps', name),
  }
}
