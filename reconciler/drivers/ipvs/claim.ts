import { BallastError } from '../../../schemas/ballast-error.ts'
import type { IpvsRow, RowKey } from '../../../schemas/node-state.ts'
import type { Failures } from './failures.ts'
import { readTimeouts } from './kernel.ts'
import type { Owned } from './owned-file.ts'
import { serviceKey } from './service-match.ts'
import { readSysctl } from './sysctls.ts'

/** A row, with the key of its edit. */
export interface Picked<Row extends IpvsRow = IpvsRow> {
  readonly key: RowKey
  readonly row: Row
}

/** What is owned once these rows are to be made, with the values that come back when they go. */
export async function claim(owned: Owned, made: readonly Picked[], failures: Failures): Promise<Owned> {
  const next = structuredClone(owned)
  for (const { key, row } of made) {
    switch (row.kind) {
      case 'vip':
        next.vips[row.address] = row.interface
        break
      case 'service':
        if (row.match.by === 'fwmark') next.marks = union(next.marks, serviceKey(row.match))
        break
      case 'sync':
        next.sync = union(next.sync, row.role)
        break
      case 'timeouts': {
        const { kind: _, ...earlier } = await readTimeouts()
        next.timeouts ??= earlier
        break
      }
      case 'sysctl': {
        if (row.name in next.sysctls) break
        const earlier = await readSysctl(row.name)
        if (earlier === null) failures.set(key, noSysctl(row.name))
        else next.sysctls[row.name] = earlier
      }
    }
  }
  return next
}

/** What is still owned when these rows are gone. */
export function release(owned: Owned, gone: readonly Picked[]): Owned {
  const next = structuredClone(owned)
  for (const { row } of gone) {
    if (row.kind === 'vip') delete next.vips[row.address]
    else if (row.kind === 'sysctl') delete next.sysctls[row.name]
    else if (row.kind === 'timeouts') next.timeouts = null
    else if (row.kind === 'sync') next.sync = next.sync.filter(role => role !== row.role)
    else if (row.match.by === 'fwmark') {
      const mark = serviceKey(row.match)
      next.marks = next.marks.filter(key => key !== mark)
    }
  }
  return next
}

const union = <T>(list: readonly T[], one: T): T[] => [...new Set([...list, one])]

const noSysctl = (name: string): BallastError =>
  new BallastError({
    code: 'SYSCTL_ABSENT',
    message: `this kernel has no sysctl ${name}`,
    hint: 'Correct the name, take it out of the manifest of the Node, or load the module that brings it.',
  })
