import type { DriftRecord } from '../../schemas/drift-record.ts'

/** What has happened, by the name that it has in the documentation, in one or two words. */
export function nameDrift({ driver, key, kind, observed }: Named): string {
  const [what] = key.split('/')
  if (driver === 'xdp') {
    if (what === 'interface') return kind === 'missing' ? 'program detached' : 'program replaced'
    if (what === 'settings') return kind === 'missing' ? 'pin removed' : 'program replaced'
    if (what === 'service' && kind === 'changed' && ringDiffers(observed)) return 'ring differs'
  }
  if (driver === 'ipvs') {
    if (what === 'vip') return 'address lost'
    if (what === 'sysctl') return 'sysctl changed'
  }
  if (driver === 'bgp') {
    if (what === 'route') return `announcement ${kind}`
    if (what === 'speaker' && kind === 'missing') return 'daemon restarted'
    if (what === 'peer') return `session ${kind}`
  }
  if (kind === 'unreachable') return 'node unreachable'
  if (kind === 'rings-disagree') return 'nodes disagree on a ring'
  return driver === 'node' ? kind : `${what} ${kind}`
}

type Named = Pick<DriftRecord, 'driver' | 'key' | 'kind' | 'observed'>

/** Slots that are not what its backends make of it. */
function ringDiffers(row: unknown): boolean {
  const { ring } = (row ?? {}) as { ring?: { slots?: unknown; differing?: unknown } }
  return (
    ring !== undefined && (ring.slots === 0 || (typeof ring.differing === 'number' && ring.differing > 0))
  )
}
