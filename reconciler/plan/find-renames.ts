import { isDeepStrictEqual } from 'node:util'
import type { RowKey } from '../../schemas/node-state.ts'
import type { ServicePlan } from '../../schemas/plan.ts'
import type { ServiceView } from './service-view.ts'

export interface Renamable {
  readonly key: RowKey
  readonly before: ServiceView | null
  readonly after: ServiceView | null
  /** Of the Service manifest, on each side; undefined: there is none. */
  readonly nameBefore: string | undefined
  readonly nameAfter: string | undefined
}

type Former = ServicePlan['renamed_from']

/**
 * What a service was called before: another manifest has its VIP and port now, or its manifest answers at another VIP
 * or port, with one row gone and one come. `changes` are of one kind of node each; the answer is by change.
 */
export function findRenames<C extends Renamable>(changes: readonly C[]): Map<C, NonNullable<Former>> {
  const found = new Map<C, NonNullable<Former>>()
  const gone = new Map<string, C[]>()
  for (const change of changes) {
    const { before, after, nameBefore, nameAfter } = change
    if (before !== null && after !== null) {
      if (nameBefore !== undefined && nameAfter !== undefined && nameBefore !== nameAfter)
        found.set(change, { service: nameBefore, ...placeOf(before) })
    } else if (before !== null && nameBefore !== undefined) {
      gone.set(nameBefore, [...(gone.get(nameBefore) ?? []), change])
    }
  }
  for (const change of changes) {
    const { before, after, nameAfter } = change
    if (after === null || before !== null || nameAfter === undefined) continue
    const former = (gone.get(nameAfter) ?? []).find(each => isSuccessor(each.before!, after))
    if (former === undefined) continue
    gone.set(
      nameAfter,
      gone.get(nameAfter)!.filter(each => each !== former),
    )
    found.set(change, { service: nameAfter, ...placeOf(former.before!) })
  }
  return found
}

const placeOf = ({ vip, port, endPort }: ServiceView) => ({
  vip,
  port,
  ...(endPort !== undefined && { endPort }),
})

/** One thing is another: the address, or the port. */
const isSuccessor = (before: ServiceView, after: ServiceView): boolean =>
  before.protocol === after.protocol &&
  before.vip.includes(':') === after.vip.includes(':') &&
  (before.vip === after.vip ||
    before.port === after.port ||
    isDeepStrictEqual(before.backends, after.backends))
