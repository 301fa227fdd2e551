import { isDeepStrictEqual } from 'node:util'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { IpvsServiceRow } from '../../../schemas/node-state.ts'
import { withRowOrder } from './backend-order.ts'
import type { Picked } from './claim.ts'
import { composeRemoval, composeService } from './compose-batch.ts'
import { type Failures, notApplied } from './failures.ts'
import { type KernelServices, readServices, restoreRules } from './kernel.ts'
import { createOwnership } from './observe.ts'
import type { Owned } from './owned-file.ts'
import { readSysctl, writeSysctl } from './sysctls.ts'

type PickedService = Picked<IpvsServiceRow>

const EXPIRE = 'net.ipv4.vs.expire_nodest_conn'

/** One batch for all of them; what is read back decides wherever ipvsadm has something to say. */
export async function putServices(
  owned: Owned,
  services: readonly PickedService[],
  failures: Failures,
): Promise<void> {
  const isOurs = createOwnership(owned)
  for (const { key } of services) if (!isOurs(key)) failures.set(key, vipNotOwned(key))
  const ours = services.filter(({ key }) => isOurs(key))
  if (ours.length === 0) return
  const { complete, said } = await write(owned, await readServices(isOurs), ours)
  if (complete && said === '') return
  const wrong = findWrong(await readServices(isOurs), ours)
  if (complete) for (const { key } of wrong) failures.set(key, notApplied(key, said))
  else await putOneByOne(owned, wrong, failures)
}

/** ipvsadm ends at a line that it refuses itself: the others are not to suffer for it. */
async function putOneByOne(
  owned: Owned,
  services: readonly PickedService[],
  failures: Failures,
): Promise<void> {
  const isOurs = createOwnership(owned)
  for (const service of services) {
    const { said } = await write(owned, await readServices(isOurs), [service])
    const wrong = findWrong(await readServices(isOurs), [service])
    for (const { key } of wrong) failures.set(key, notApplied(key, said))
  }
}

async function write(owned: Owned, existing: KernelServices, services: readonly PickedService[]) {
  const batches = services.map(({ key, row }) => composeService(existing.row(key), row))
  const run = () => restoreRules(batches.flatMap(({ lines }) => lines))
  return batches.some(({ rotates }) => rotates) ? holdConnections(owned, run) : run()
}

/**
 * While a backend is out of the table for a moment, the kernel drops packets of its connections, which are sent again;
 * with `expire_nodest_conn` it would forget the connections instead. A process killed here leaves a sysctl that
 * differs from its row, which is repaired as such.
 */
async function holdConnections<Result>(owned: Owned, run: () => Promise<Result>): Promise<Result> {
  const value = EXPIRE in owned.sysctls ? await readSysctl(EXPIRE) : null
  if (value === null || value === '0') return run()
  await writeSysctl(EXPIRE, '0')
  try {
    return await run()
  } finally {
    await writeSysctl(EXPIRE, value)
  }
}

function findWrong(existing: KernelServices, services: readonly PickedService[]): PickedService[] {
  return services.filter(({ key, row }) => {
    const found = existing.row(key)
    return found === undefined || !isDeepStrictEqual(withRowOrder(found), withRowOrder(row))
  })
}

/** Those that are gone already are no failure. */
export async function dropServices(
  owned: Owned,
  services: readonly PickedService[],
  failures: Failures,
): Promise<void> {
  const isOurs = createOwnership(owned)
  const ours = services.filter(({ key }) => isOurs(key))
  if (ours.length === 0) return
  const { said } = await restoreRules(ours.map(({ row }) => composeRemoval(row)))
  if (said === '') return
  const left = new Set((await readServices(isOurs)).keys)
  for (const { key } of ours) if (left.has(key)) failures.set(key, notApplied(key, said))
}

const vipNotOwned = (key: string): BallastError =>
  new BallastError({
    code: 'IPVS_VIP_NOT_OWNED',
    message: `${key} is on a VIP that is not among the wanted ones, so it belongs to somebody else`,
    hint: 'This is a fault of Ballast; please report it with the log.',
  })
