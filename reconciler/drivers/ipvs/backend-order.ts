import { compareAddresses } from '../../../schemas/address.ts'
import type { IpvsBackend, IpvsServiceRow } from '../../../schemas/node-state.ts'

/** Schedulers that build a table of the backends in the order in which they were added. */
const ORDERED = new Set(['mh', 'sh', 'dh'])

export const dependsOnOrder = ({ scheduler }: Pick<IpvsServiceRow, 'scheduler'>): boolean =>
  ORDERED.has(scheduler)

/** A service as a row has it: in the order of the kernel where that matters, else by address and port. */
export const withRowOrder = (row: IpvsServiceRow): IpvsServiceRow =>
  dependsOnOrder(row)
    ? row
    : {
        ...row,
        backends: row.backends.toSorted((a, b) => compareAddresses(a.address, b.address) || a.port - b.port),
      }

export const backendId = ({ address, port }: Pick<IpvsBackend, 'address' | 'port'>): string =>
  `${address} ${port}`

/**
 * How many of `wanted` can stay where they are: the longest beginning of `wanted` that stands in `existing` in this
 * order. The rest has to be added behind it, one after the other, since the kernel adds at one end only.
 */
export function countStanding(existing: readonly IpvsBackend[], wanted: readonly IpvsBackend[]): number {
  let standing = 0
  for (const backend of existing)
    if (standing < wanted.length && backendId(backend) === backendId(wanted[standing]!)) standing++
  return standing
}
