import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PolicyRepository, PoolBackend } from '../../reconciler/lab/policy-repository.ts'
import type { Random } from './random.ts'

/**
 * Changes that break no request: weights and drains of the services under load, and services beside them that
 * nobody asks, which come and go. Backends under load stay members: a removed one's connections are cut, as they should be.
 */
const HOSTS = [1, 2, 3]
const EXTRAS = 6
/**
 * Extras below this one also go away again. A reconciler that was dead meanwhile judges several pushes as one change,
 * and refuses one that takes away half of its services or more: these are never half of them.
 */
const PASSING_EXTRAS = 2
const BROKEN = 'services/broken.yaml'

/** Commits something new, which is to be refused when `broken`. */
export async function commitChange(
  policy: PolicyRepository,
  random: Random,
  { number, broken }: { number: number; broken: boolean },
): Promise<void> {
  const file = join(policy.clone, BROKEN)
  if (broken) await writeFile(file, `apiVersion: ballast.dev/v1\nkind: Service\n# ${number}\n`)
  else await rm(file, { force: true })
  await setWeights(policy, random)
  const extra = random.int(EXTRAS)
  const service = join(policy.clone, `services/extra-${extra}.yaml`)
  if (extra < PASSING_EXTRAS && random.chance(0.6)) await rm(service, { force: true })
  else await writeFile(service, describeExtra(extra, random))
  await writeFile(join(policy.clone, 'NUMBER'), `${number}\n`)
  await policy.commit(`change ${number}`)
}

async function setWeights(policy: PolicyRepository, random: Random): Promise<void> {
  const kept = random.pick(HOSTS)
  const weights = HOSTS.map(host => ({
    weight: 1 + random.int(100),
    drain: host !== kept && random.chance(0.3),
  }))
  await setPools(policy, weights)
}

/** Of the pools under load, for the hosts in their order. */
export async function setPools(
  policy: PolicyRepository,
  weights: readonly Omit<PoolBackend, 'address'>[],
): Promise<void> {
  const backends = (address: (host: number) => string) =>
    weights.map((each, index) => ({ address: address(HOSTS[index]!), ...each }))
  await policy.setBackends(
    'web',
    backends(host => `10.80.${10 + host}.1`),
  )
  await policy.setBackends(
    'web6',
    backends(host => `fd00:80:${10 + host}::1`),
  )
}

function describeExtra(number: number, random: Random): string {
  const backends = HOSTS.slice(0, 1 + random.int(3)).map(host => ({
    address: `10.80.${10 + host}.1`,
    weight: 1 + random.int(9),
  }))
  const spec = { vip: `203.0.113.${100 + number}`, ports: [{ port: 80, protocol: 'tcp' }], backends }
  return JSON.stringify({
    ...{ apiVersion: 'ballast.dev/v1', kind: 'Service' },
    ...{ metadata: { name: `extra-${number}` }, spec },
  })
}
