import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { listPins, pinName, unpinAll } from '../libbpf/pins.ts'
import type { NodePins } from '../node-pins.ts'

/**
 * What receiving queues of an interface were before Ballast set them, so that they can be put back: as long as the
 * pins, that is as the kernel's own state. A BPF file system holds no files, so names of directories say it:
 * `cpus/eth0/channels 2`, `cpus/eth0/irq 38 0-1`, `cpus/eth0/threaded 0`.
 */
export type Claim =
  | { readonly kind: 'channels'; readonly combined: number }
  | { readonly kind: 'irq'; readonly irq: number; readonly cpus: string }
  | { readonly kind: 'threaded'; readonly value: string }

const folderOf = ({ claims }: NodePins, name: string): string => join(claims, pinName(name))

/** Null: the queues are none of Ballast's business. */
export function readClaims(pins: NodePins, name: string): Claim[] | null {
  if (!listPins(pins.claims).includes(pinName(name))) return null
  return listPins(folderOf(pins, name)).flatMap(text => parseClaim(text) ?? [])
}

/** The first claim of the same thing stands: later ones saw what Ballast set. */
export function claim(pins: NodePins, name: string, claims: readonly Claim[]): void {
  const known = new Set((readClaims(pins, name) ?? []).map(nameThing))
  mkdirSync(folderOf(pins, name), { recursive: true })
  for (const each of claims) {
    if (!known.has(nameThing(each))) mkdirSync(join(folderOf(pins, name), formatClaim(each)))
  }
}

export const dropClaims = (pins: NodePins, name: string): void => unpinAll(folderOf(pins, name))

const nameThing = (each: Claim): string => (each.kind === 'irq' ? `irq ${each.irq}` : each.kind)

function formatClaim(each: Claim): string {
  if (each.kind === 'channels') return `channels ${each.combined}`
  if (each.kind === 'irq') return `irq ${each.irq} ${each.cpus}`
  return `threaded ${each.value}`
}

function parseClaim(text: string): Claim | undefined {
  const [kind, first = '', second = ''] = text.split(' ')
  if (kind === 'channels') return { kind, combined: Number(first) }
  if (kind === 'irq') return { kind, irq: Number(first), cpus: second }
  if (kind === 'threaded') return { kind, value: first }
  return undefined
}
