import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseDocument } from 'yaml'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import type { PolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'
import { setPools } from './changes.ts'
import { expectMapsAsDesired } from './expected-maps.ts'
import { createFaultFleet, type FaultFleet, PROCESSES } from './fault-fleet.ts'
import { createRandom } from './random.ts'

/**
 * The real worker with its real drivers, killed with -9 after every single step of every operation that this kernel can
 * do, while requests go on: by `npm run test:faults`; `npm test` draws one step of each. (Those of IPVS, and every one
 * with drivers in memory: test/worker/killed-steps.test.ts.)
 */
const EVERY_STEP = process.env.BALLAST_FAULT_ROUNDS !== undefined
const SEED = Number(process.env.BALLAST_FAULT_SEED ?? randomInt(2 ** 31))
/** Every operation has so many at least, and can be killed before the first one. */
const FEWEST_STEPS = 1
const NODE = 'lb-1'
const LOAD = { targets: ['http://203.0.113.10/', 'http://[2001:db8::10]/'], interval: 10, timeout: 10_000 }
const KILLING = ['--import', join(import.meta.dirname, 'kill-after-step.ts')]
/** Ends a run that hangs. */
const REST_LIMIT_MS = 120_000

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'

interface Operation {
  readonly there: string
  readonly back: string
  readonly change: (policy: PolicyRepository, isThere: boolean) => Promise<void>
  /** Over which load balancers the router leads to which VIP, when it is done. */
  readonly routes: (isThere: boolean) => Readonly<Record<string, readonly string[]>>
}

const BOTH = ['lb-1', 'lb-2']
const always = (routes: Readonly<Record<string, readonly string[]>>) => () => routes
const WEB = { '203.0.113.10': BOTH, '2001:db8::10': BOTH }

const OPERATIONS: readonly Operation[] = [
  {
    there: 'a service is added',
    back: 'a service is removed',
    change: (policy, isThere) => setService(policy, 'extra', isThere ? [1, 2, 3] : null),
    routes: isThere => ({ ...WEB, ...(isThere ? { '203.0.113.100': BOTH } : {}) }),
  },
  {
    there: 'backends leave and come, weights change',
    back: 'and are as they were',
    async change(policy, isThere) {
      await setService(policy, 'beside', isThere ? [2, 3] : [1, 2])
      const drained = isThere ? { weight: 1, drain: true } : { weight: 1 }
      await setPools(policy, [drained, { weight: isThere ? 2 : 1 }, { weight: isThere ? 3 : 1 }])
    },
    routes: always({ ...WEB, '203.0.113.101': BOTH }),
  },
  {
    there: 'announcements get other attributes',
    back: 'and those that they had',
    change: (policy, isThere) =>
      edit(
        policy,
        'services/web.yaml',
        ['spec', 'announce'],
        isThere ? { med: 50, communities: ['64513:100'] } : true,
      ),
    routes: always(WEB),
  },
  {
    there: 'a node goes into maintenance',
    back: 'a node comes back from maintenance',
    change: (policy, isThere) => edit(policy, `nodes/${NODE}.yaml`, ['spec', 'maintenance'], isThere),
    routes: isThere => ({
      '203.0.113.10': isThere ? ['lb-2'] : BOTH,
      '2001:db8::10': isThere ? ['lb-2'] : BOTH,
    }),
  },
  {
    there: 'maps are replaced by larger ones',
    back: 'and by smaller ones',
    change: (policy, isThere) =>
      edit(policy, `nodes/${NODE}.yaml`, ['spec', 'capacity'], { services: isThere ? 2048 : 1024 }),
    routes: always(WEB),
  },
]

test('a worker that is killed after any step of any operation loses no request, and ends as Git says (rules 1, 2, 5)', {
  skip,
  timeout: 900_000,
}, async t => {
  const random = createRandom(SEED)
  t.diagnostic(`seed ${SEED}`)
  const fleet = await createFaultFleet(t)
  const stepsFile = join(fleet.lab.dir, 'steps')
  process.env.BALLAST_STEPS_FILE = stepsFile
  const commit = async (message: string): Promise<string> => {
    await writeFile(join(fleet.policy.clone, 'MESSAGE'), message)
    await fleet.policy.commit(message)
    return fleet.git.push(fleet.policy.clone)
  }
  await fleet.git.start()
  for (const node of BOTH)
    await edit(fleet.policy, `nodes/${node}.yaml`, ['spec', 'drain'], { shutdownTime: 1, timeout: 2 })
  for (const name of PROCESSES) await fleet.start(name, name === NODE ? KILLING : [])
  await untilHeld(fleet, await commit('the beginning'))
  await untilRoutes(fleet, WEB)
  const load = await startLoad(fleet.lab, LOAD)

  /** Gives whether it came to be killed. */
  const operate = async (operation: Operation, isThere: boolean, steps: number): Promise<boolean> => {
    const title = `${isThere ? operation.there : operation.back}, killed after ${steps} steps`
    await writeFile(stepsFile, `${steps}: ${title}`)
    await operation.change(fleet.policy, isThere)
    const revision = await commit(title)
    const held = untilHeld(fleet, revision)
    await Promise.race([fleet.ended(NODE), held])
    const wasKilled = !existsSync(stepsFile)
    await rm(stepsFile, { force: true })
    if (wasKilled) await fleet.start(NODE, KILLING)
    await held.catch((error: unknown) => assert.fail(`${title}: ${error}\n${fleet.log()}`))
    await untilRoutes(fleet, operation.routes(isThere))
    await expectMapsAsDesired(fleet, NODE, revision)
    const failures = failuresOf(load.events)
    assert.deepEqual(failures, [], `${title}: ${failures.length} of ${load.events.length} requests failed`)
    return wasKilled
  }
  try {
    for (const operation of OPERATIONS) {
      const killed = { there: [] as number[], back: [] as number[] }
      const drawn = EVERY_STEP ? 0 : random.int(FEWEST_STEPS + 1)
      for (let [goesOn, steps] = [true, drawn]; goesOn; steps++) {
        const there = await operate(operation, true, steps)
        const back = await operate(operation, false, steps)
        if (there) killed.there.push(steps)
        if (back) killed.back.push(steps)
        goesOn = EVERY_STEP && (there || back)
      }
      const { there, back } = killed
      assert.ok(
        there.length > 0 && back.length > 0,
        `${operation.there}, ${operation.back}: nobody was killed`,
      )
      t.diagnostic(`${operation.there}: killed after ${there}; ${operation.back}: killed after ${back}`)
    }
  } finally {
    await load.stop()
  }
  t.diagnostic(`${load.events.length} requests, none failed`)
})

async function untilHeld(fleet: FaultFleet, revision: string): Promise<void> {
  let last: unknown = null
  await waitUntil({ what: `${NODE} to hold ${revision}`, deadline: REST_LIMIT_MS }, async () => {
    const status = await fleet.status().catch((error: unknown) => ({ error }))
    last = status
    if ('error' in status) return null
    return (status.repository?.accepted === revision && status.inSync) || null
  }).catch((error: unknown) => assert.fail(`${error}; last seen: ${JSON.stringify(last)}`))
}

async function untilRoutes(
  fleet: FaultFleet,
  routes: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  for (const [vip, over] of Object.entries(routes)) await untilRouted(fleet.lab, vip, over)
}

async function edit(
  { clone }: PolicyRepository,
  name: string,
  path: string[],
  value: unknown,
): Promise<void> {
  const file = join(clone, name)
  const document = parseDocument(await readFile(file, 'utf8'))
  document.setIn(path, value)
  await writeFile(file, document.toString())
}

const VIPS = { extra: '203.0.113.100', beside: '203.0.113.101' }

async function setService(
  { clone }: PolicyRepository,
  name: keyof typeof VIPS,
  hosts: readonly number[] | null,
): Promise<void> {
  const file = join(clone, `services/${name}.yaml`)
  if (hosts === null) return rm(file, { force: true })
  const backends = hosts.map(host => ({ address: `10.80.${10 + host}.1`, weight: 1 }))
  const spec = { vip: VIPS[name], ports: [{ port: 80, protocol: 'tcp' }], backends, announce: true }
  const service = { apiVersion: 'ballast.dev/v1', kind: 'Service', metadata: { name }, spec }
  await writeFile(file, JSON.stringify(service))
}
