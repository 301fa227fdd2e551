import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { type Load, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'
import { readLastGood } from '../../reconciler/worker/last-good-file.ts'
import { commitChange } from './changes.ts'
import { compareKeys } from './expected-keys.ts'
import { expectMapsAsDesired } from './expected-maps.ts'
import { createFaultFleet, type FaultFleet, PROCESSES } from './fault-fleet.ts'
import { createRandom, type Random } from './random.ts'

/**
 * `npm run test:faults`: BALLAST_FAULT_ROUNDS (500) rounds; `npm test`: a few. In each, one process is killed with -9
 * at a random moment of a push. BALLAST_FAULT_SEED repeats the draws of a run; the moments are the machine's.
 */
const ROUNDS = Number(process.env.BALLAST_FAULT_ROUNDS ?? 8)
const SEED = Number(process.env.BALLAST_FAULT_SEED ?? randomInt(2 ** 31))
/** Rounds between two looks whether the fleet still comes to rest. */
const LOOK_EVERY = 25
/** Ends a run that hangs; says nothing about how quick it should be: starts take minutes on a machine that is busy. */
const REST_LIMIT_MS = 240_000
const VIPS = ['203.0.113.10', '2001:db8::10', '203.0.113.53']
const LOAD = { targets: ['http://203.0.113.10/', 'http://[2001:db8::10]/'], interval: 10, timeout: 10_000 }
const NODES = ['lb-1', 'lb-2'] as const
const VICTIMS = [...PROCESSES, 'git'] as const

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'

interface Pushes {
  count: number
  broken: number
  /** The last one that is good. */
  good: string
  head: string
}

test(`${ROUNDS} rounds of kill -9 lose no request, no revision and no key (rules 1, 5, 7)`, {
  skip,
  timeout: 300_000 + ROUNDS * 20_000,
}, async t => {
  const random = createRandom(SEED)
  t.diagnostic(`seed ${SEED}: repeat with BALLAST_FAULT_SEED=${SEED} BALLAST_FAULT_ROUNDS=${ROUNDS}`)
  const fleet = await createFaultFleet(t)
  await fleet.git.start()
  for (const name of PROCESSES) await fleet.start(name)
  const pushes: Pushes = { count: 0, broken: 0, good: '', head: '' }
  await expectRest(fleet, pushes, random).catch(error => assert.fail(`${error}\n${fleet.log()}`))
  for (const vip of VIPS) await untilRouted(fleet.lab, vip, ['lb-1', 'lb-2'])
  const load = await startLoad(fleet.lab, LOAD)
  const kills: Record<string, number> = {}
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      const victim = random.pick(VICTIMS)
      kills[victim] = (kills[victim] ?? 0) + 1
      await Promise.all([
        random.chance(0.8) ? push(fleet, pushes, random, random.chance(0.1)) : null,
        killAndStart(fleet, victim, random),
      ])
      expectServed(load, `round ${round}, ${victim} killed`)
      if (round % LOOK_EVERY !== 0) continue
      await expectRest(fleet, pushes, random)
      t.diagnostic(`round ${round}: ${pushes.count} pushes, ${load.events.length} requests`)
    }
    await expectRest(fleet, pushes, random)
    for (const node of NODES) await expectMapsAsDesired(fleet, node, pushes.good)
    await expectNoKeyLeaked(fleet)
    await untilAtRest(fleet, pushes)
  } catch (error) {
    t.diagnostic(`the processes said last:\n${fleet.log()}`)
    throw error
  } finally {
    await load.stop()
  }
  expectServed(load, 'the end')
  t.diagnostic(
    `${ROUNDS} rounds, ${JSON.stringify(kills)} killed, ${pushes.count} pushes of which ${pushes.broken} were broken, ${load.events.length} requests, none failed`,
  )
})

async function push(fleet: FaultFleet, pushes: Pushes, random: Random, broken: boolean): Promise<void> {
  await commitChange(fleet.policy, random, { number: pushes.count, broken })
  pushes.head = await fleet.git.push(fleet.policy.clone)
  pushes.count += 1
  if (broken) pushes.broken += 1
  else pushes.good = pushes.head
}

/**
 * With every process up, a good push reaches all nodes, and a broken one after it changes nothing. (Which of the pushes
 * while a reconciler was dead is the last good one that it saw, nobody can know.)
 */
async function expectRest(fleet: FaultFleet, pushes: Pushes, random: Random): Promise<void> {
  await push(fleet, pushes, random, false)
  await untilAtRest(fleet, pushes)
  await push(fleet, pushes, random, true)
  await untilAtRest(fleet, pushes)
}

async function killAndStart(
  fleet: FaultFleet,
  victim: (typeof VICTIMS)[number],
  random: Random,
): Promise<void> {
  const [before, after] = [random.int(500), random.int(300)]
  await delay(before)
  if (victim === 'git') await fleet.git.kill()
  else await fleet.kill(victim)
  await delay(after)
  if (victim === 'git') await fleet.git.start()
  else await fleet.start(victim)
}

/** Every node holds the last good revision, and the head is known to be refused if it is. */
async function untilAtRest(fleet: FaultFleet, { good, head }: Pushes): Promise<void> {
  let last: unknown = null
  await waitUntil({ what: `every node to hold ${good}`, deadline: REST_LIMIT_MS }, async () => {
    const status = await fleet.status().catch((error: unknown) => ({ error }))
    last = status
    if ('error' in status) return null
    const { accepted, rejected } = status.repository ?? {}
    const headKnown = head === good ? rejected === null : rejected?.revision === head
    const held = NODES.every(node => status.nodes.find(({ name }) => name === node)?.state === 'in-sync')
    return (accepted === good && headKnown && held) || null
  }).catch((error: unknown) => assert.fail(`${error}; last seen: ${JSON.stringify(last)}`))
  for (const node of NODES) {
    const kept = await readLastGood(join(fleet.stateDir, 'nodes', node, 'last-good.json'))
    const want = await fleet.board.wants.read(node)
    assert.equal(kept?.want.stateDigest, want?.stateDigest, `${node} keeps on disk what it wants`)
  }
}

function expectServed(load: Load, when: string): void {
  const failures = failuresOf(load.events)
  assert.deepEqual(failures, [], `${failures.length} of ${load.events.length} requests failed at ${when}`)
}

/** A reconciler that was just started keeps states for nobody but the nodes; it collects at its first poll. */
async function expectNoKeyLeaked(fleet: FaultFleet): Promise<void> {
  await fleet.stop('reconciler')
  await fleet.start('reconciler')
  const look = () => compareKeys(fleet.board)
  await waitUntil({ what: 'the keys that nobody needs to go', deadline: 30_000 }, async () => {
    const { leaked, missing } = await look()
    return (leaked.length === 0 && missing.length === 0) || null
  }).catch(async error => assert.fail(`${error}: ${JSON.stringify(await look())}`))
}
