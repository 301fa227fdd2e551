import { runCommand } from '../process/run-command.ts'
import type { Lab } from './lab.ts'
import { hostsOf, ROUTER } from './topology.ts'
import { readRoutes, watchRoutes } from './watch-routes.ts'

/** Before that of BIRD's own routes. */
const METRIC = 1
const FIRST_GROUP = 100
const RESILIENT = 'type resilient buckets 256 idle_timer 60 unbalanced_timer 0'

export interface NextHopMirror extends AsyncDisposable {
  /** The load balancers that the group of a prefix leads over now; none: it has no group. */
  mirrored(prefix: string): readonly string[]
}

/**
 * Does on the router what BIRD does not: every IPv4 route that BIRD makes gets a resilient next-hop group in front of it
 * (Linux, nexthop-group-resilient), in which flows over a load balancer that stays, stay. Follows what BIRD changes until
 * stopped; groups stay then.
 */
export async function mirrorNextHops(lab: Lab): Promise<NextHopMirror> {
  const balancers = hostsOf(lab.topology, 'lb')
  const idOf = (name: string): number => 1 + balancers.findIndex(each => each.name === name)
  const groups = new Map<string, number>()
  const mirrored = new Map<string, readonly string[]>()
  const groupOf = (prefix: string): number => {
    const group = groups.get(prefix) ?? FIRST_GROUP + groups.size
    groups.set(prefix, group)
    return group
  }

  async function sync(): Promise<void> {
    isQueued = false
    const routes = (await readRoutes(lab)).filter(({ prefix }) => !prefix.includes(':'))
    const changed = routes.filter(({ prefix, over }) => mirrored.get(prefix)?.join() !== over.join())
    const gone = [...mirrored.keys()].filter(prefix => !routes.some(route => route.prefix === prefix))
    await onRouter(lab, [
      ...changed.flatMap(({ prefix, over }) => composeGroup(prefix, groupOf(prefix), over.map(idOf))),
      ...gone.flatMap(prefix => [
        `route del ${prefix} metric ${METRIC}`,
        `nexthop del id ${groupOf(prefix)}`,
      ]),
    ])
    for (const { prefix, over } of changed) mirrored.set(prefix, over)
    for (const prefix of gone) mirrored.delete(prefix)
  }

  await onRouter(
    lab,
    balancers.map(
      ({ name, addresses }) => `nexthop replace id ${idOf(name)} via ${addresses.ipv4} dev ${name}`,
    ),
  )
  let isQueued = false
  let last: Promise<void> = Promise.resolve()
  const watch = await watchRoutes(lab, () => {
    if (isQueued) return
    isQueued = true
    last = last.then(sync)
  })
  last = last.then(sync)
  await last
  return {
    mirrored: prefix => mirrored.get(prefix) ?? [],
    async [Symbol.asyncDispose]() {
      await watch.stop()
      await last
    },
  }
}

/** A group whose members change keeps the buckets of those that stay (RESILIENT); a new one would not. */
const composeGroup = (prefix: string, group: number, members: readonly number[]): string[] => [
  `nexthop replace id ${group} group ${members.join('/')} ${RESILIENT}`,
  `route replace ${prefix} nhid ${group} metric ${METRIC}`,
]

async function onRouter(lab: Lab, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  await runCommand(...lab.on(ROUTER, ['ip', '-batch', '-']), { input: `${lines.join('\n')}\n` })
}
