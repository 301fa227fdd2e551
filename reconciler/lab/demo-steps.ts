import { createControlPlane, writeSettings } from './control-plane.ts'
import { type DemoContext, expectHeld, need, untilApplied, untilSaid, untilServed } from './demo-context.ts'
import { ADDED, DRAINED, FIRST, SECOND, showSpread, TARGETS, VIPS, WEB, writeWeights } from './demo-fleet.ts'
import { failOver, maintain } from './demo-routing.ts'
import { addServiceByHand } from './edit-maps.ts'
import { labUp } from './lab.ts'
import { createPolicyRepository } from './policy-repository.ts'
import { startRouting } from './routing.ts'
import { hostsOf } from './topology.ts'
import { holdConnection, startBackends, startLoad } from './traffic.ts'
import { waitUntil } from './wait-until.ts'
import { untilRouted } from './watch-routes.ts'

export interface DemoStep {
  readonly name: string
  /** What happens, for people. */
  readonly title: string
  run(context: DemoContext): Promise<void>
}

const LOAD = { targets: TARGETS, interval: 4, timeout: 3_000 }
/** Requests that show that traffic goes on. */
const SOME = 200

export const DEMO_STEPS: readonly DemoStep[] = [
  { name: 'lab up', title: 'A lab of network namespaces', run: bringUp },
  { name: 'first push', title: 'The first push', run: pushFirst },
  {
    name: 'spread by weight',
    title: 'Requests spread by weight',
    run: context => showSpread(context, Date.now(), FIRST),
  },
  {
    name: 'long connection',
    title: `A long-lived connection to ${DRAINED} is opened`,
    run: openLongConnection,
  },
  {
    name: 'maintenance',
    title: 'A commit takes lb-1 out of traffic, and another brings it back',
    run: maintain,
  },
  { name: 'fail over', title: 'lb-2 dies without a word', run: failOver },
  {
    name: 'plan',
    title: `A change is prepared: ${ADDED} added, backend-2 doubled, ${DRAINED} drained`,
    run: showPlan,
  },
  { name: 'second push', title: 'It is pushed', run: pushSecond },
  { name: 'traffic follows', title: 'New connections follow, the long-lived one stays', run: followTraffic },
  { name: 'broken manifest', title: 'A broken manifest is pushed', run: pushBroken },
  { name: 'worker killed', title: 'The worker of lb-1 is killed with -9 and started again', run: killWorker },
  { name: 'maps changed', title: 'Someone changes the maps of lb-2 by hand', run: changeMaps },
]

async function bringUp(context: DemoContext): Promise<void> {
  const lab = await labUp(context.labName, process.pid)
  context.lab = lab
  await startRouting(lab)
  await startBackends(lab)
  const names = lab.topology.hosts.map(({ name }) => name).join(', ')
  context.say(`router, ${names}; BIRD on the router and on both load balancers, which announce nothing yet`)
}

async function pushFirst(context: DemoContext): Promise<void> {
  const lab = need(context, 'lab')
  context.policy = await createPolicyRepository(lab.dir)
  await writeWeights(context, FIRST)
  await context.policy.commit('the first fleet')
  const { revision } = await context.policy.push()

  const control = createControlPlane(lab, await writeSettings(lab, { repo: context.policy.bare }))
  context.control = control
  await control.startReconciler()
  const balancers = hostsOf(lab.topology, 'lb').map(({ name }) => name)
  for (const name of balancers) await control.startWorker(name)
  await untilApplied(context, revision)
  // Sessions come up by themselves; a node that was applied announces as soon as they do.
  for (const vip of VIPS) await untilRouted(lab, vip, balancers, { signal: context.signal })
  context.load = await startLoad(lab, LOAD)
  await untilServed(context, 0, 1)
  context.say((await control.ballast('status')).stdout)
}

async function openLongConnection(context: DemoContext): Promise<void> {
  context.held = await holdConnection(need(context, 'lab'), `http://${WEB.vip}/`, DRAINED)
  context.say('a line goes there every 50 ms, and comes back')
}

async function showPlan(context: DemoContext): Promise<void> {
  const policy = need(context, 'policy')
  await writeWeights(context, SECOND)
  await policy.commit(`add ${ADDED}, double backend-2, drain ${DRAINED}`)
  const { stdout } = await need(context, 'control').ballast('plan', '--repo', policy.clone, '--to', 'main')
  context.say(stdout)
}

async function pushSecond(context: DemoContext): Promise<void> {
  const { measured, signal } = context
  const { events } = need(context, 'load')
  const { revision, at } = await need(context, 'policy').push()
  const applied = await untilApplied(context, revision)
  const first = await waitUntil(
    { what: `a request to reach ${ADDED}`, deadline: 10_000, signal },
    () => events.find(event => event.kind === 'response' && event.backend === ADDED) ?? null,
  )
  // Ballast sees a push when Git moves the branch, which can be before `git push` has ended.
  measured.pushToApplied = Math.max(0, Math.round(applied - at))
  measured.pushToTraffic = Math.max(0, Math.round(first.at - at))
  context.say(`applied on both load balancers ${measured.pushToApplied} ms after the push`)
  context.say(`the first connection to ${ADDED} was served ${measured.pushToTraffic} ms after it`)
}

async function followTraffic(context: DemoContext): Promise<void> {
  await showSpread(context, Date.now(), SECOND)
  expectHeld(context)
  context.say(`the long-lived connection to ${DRAINED} goes on`)
}

async function pushBroken(context: DemoContext): Promise<void> {
  const policy = need(context, 'policy')
  const control = need(context, 'control')
  await policy.replace('pools/web.yaml', 'weight: 100', 'weigth: 100')
  await policy.commit('a slip of the pen')
  const broken = await policy.push()
  const refused = await untilSaid(
    context,
    'the broken revision to be refused',
    ({ msg, revision }) => msg.startsWith('revision refused') && revision === broken.revision,
  )
  context.measured.pushToRefused = Math.max(0, refused.time - broken.at)
  const { repository } = await control.status()
  const diagnostics = repository?.rejected?.diagnostics ?? []
  context.say((await control.ballast('status')).stdout)
  if (repository?.accepted === broken.revision) throw new Error('the broken revision was accepted')
  if (!diagnostics.some(({ at }) => at.file === 'pools/web.yaml'))
    throw new Error('the status does not name the slip')
  await showSpread(context, broken.at, SECOND)

  await policy.replace('pools/web.yaml', 'weigth: 100', 'weight: 100')
  await policy.commit('the slip is mended')
  const mended = await policy.push()
  await untilSaid(
    context,
    'the mended revision to be accepted',
    ({ msg, revision }) => msg === 'plan' && revision === mended.revision,
  )
  context.say('the last good revision stayed in force; a push that mends the slip is accepted')
}

async function killWorker(context: DemoContext): Promise<void> {
  const control = need(context, 'control')
  await control.killWorker('lb-1')
  await untilServed(context, Date.now(), SOME)
  context.say(`${SOME} requests later none has failed`)
  const started = Date.now()
  await control.startWorker('lb-1')
  const outcome = await untilSaid(
    context,
    'the new worker to look at its node',
    event => event.process === 'lb-1' && event.time >= started && event.msg === 'outcome',
  )
  context.measured.workerBack = outcome.time - started
  const edits = ['create', 'update', 'delete'].map(edit => Number(outcome[edit]))
  if (outcome.outcome !== 'applied' || edits.some(count => count !== 0)) {
    throw new Error(`the new worker found something to do: ${JSON.stringify(outcome)}`)
  }
  await untilServed(context, started, SOME)
  expectHeld(context)
  context.say('started again: nothing to do, and nothing was dropped')
}

/** Adds what nobody asked for and takes nothing away, so that no one's traffic suffers for the demo. */
async function changeMaps(context: DemoContext): Promise<void> {
  const control = need(context, 'control')
  const changed = Date.now()
  context.say(await addServiceByHand(need(context, 'lab'), 'lb-2', { vip: '203.0.113.66', port: 80 }))
  const item = await waitUntil(
    {
      what: 'the status to show the change, and that it was undone',
      deadline: 30_000,
      signal: context.signal,
    },
    async () => {
      const { nodes } = await control.status()
      const drift = nodes.find(({ name }) => name === 'lb-2')?.drift ?? []
      return drift.find(({ since, healedAt }) => since >= changed && healedAt !== null) ?? null
    },
  )
  context.measured.driftUndone = (item.healedAt ?? Number.NaN) - changed
  context.say((await control.ballast('status')).stdout)
  await untilServed(context, changed, SOME)
  expectHeld(context)
}
