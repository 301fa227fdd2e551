import { type DemoContext, expectHeld, need, untilServed } from './demo-context.ts'
import { WEB } from './demo-fleet.ts'
import { beginOutage, endOutage } from './outage.ts'
import { hostsOf } from './topology.ts'
import { untilRouted } from './watch-routes.ts'

/** Requests that show that traffic goes on. */
const SOME = 200

/** A commit takes lb-1 out and brings it back. */
export async function maintain(context: DemoContext): Promise<void> {
  const policy = need(context, 'policy')
  const began = Date.now()
  await policy.replace('nodes/lb-1.yaml', '  bgp:', '  maintenance: true\n  bgp:')
  await policy.commit('lb-1 goes into maintenance')
  const away = await policy.push()
  await untilLed(context, ['lb-2'])
  context.say(`the router leads over lb-2 alone ${Date.now() - away.at} ms after the push:`)
  context.say(
    'the routes of lb-1 ask to be avoided (RFC 8326), and are withdrawn when routers had time for that',
  )
  await policy.replace('nodes/lb-1.yaml', '  maintenance: true\n', '')
  await policy.commit('lb-1 comes back')
  const back = await policy.push()
  context.measured.pushToRoute = Math.max(0, (await untilLed(context, ['lb-1', 'lb-2'])) - back.at)
  await untilServed(context, began, SOME)
  expectHeld(context)
  context.say('it announces again, and no request has failed')
}

/** lb-2 dies as machines do: nothing gets to it or from it, and its link stays up. */
export async function failOver(context: DemoContext): Promise<void> {
  const lab = need(context, 'lab')
  const died = Date.now()
  await beginOutage(lab, 'lb-2')
  context.measured.deathToRoute = (await untilLed(context, ['lb-1'])) - died
  context.say(`BFD tells the router, which leads over lb-1 alone after ${context.measured.deathToRoute} ms`)
  await untilServed(context, died, SOME)
  expectHeld(context)
  context.say('requests that were under way were sent again and answered; lb-1 picks the same backends')
  await endOutage(lab, 'lb-2')
  await untilLed(
    context,
    hostsOf(lab.topology, 'lb').map(({ name }) => name),
  )
  expectHeld(context)
  context.say('lb-2 is back')
}

/** To the service that requests ask for most. */
const untilLed = (context: DemoContext, over: readonly string[]): Promise<number> =>
  untilRouted(need(context, 'lab'), WEB.vip, over, { deadline: 30_000, signal: context.signal })
