import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { watchRoutes } from '../../reconciler/lab/watch-routes.ts'
import { type Benchmark, milliseconds } from '../bench/benchmark.ts'
import { BALANCERS, VIP, withBgpLab } from '../lab/bgp-lab.ts'

const CHANGES = 300
const ADDED = '203.0.113.99'
const SERVICE = JSON.stringify({
  apiVersion: 'ballast.dev/v1',
  kind: 'Service',
  metadata: { name: 'added' },
  spec: { vip: ADDED, ports: [{ port: 80, protocol: 'tcp' }], pool: 'web', announce: true },
})

/**
 * A service comes and goes by commits, in turn; measured from the end of `git push` until the router's kernel leads to it over both
 * load balancers, or not any more. Withdrawals do not wait for routers here (`drain.shutdownTime: 0`). Requests to other
 * services go on meanwhile.
 */
export const routeBenchmark: Benchmark = {
  names: ['route_p50', 'route_p99', 'lost_requests'],
  run: ({ say }) =>
    withBgpLab(
      async policy => {
        for (const node of BALANCERS)
          await policy.replace(`nodes/${node}.yaml`, '  bgp:', '  drain: { shutdownTime: 0 }\n  bgp:')
      },
      async ({ lab, policy }) => {
        const load = await startLoad(lab, { targets: [`http://${VIP}/`], interval: 10, timeout: 3_000 })
        const watch = await watchRoutes(lab)
        const file = join(policy.clone, 'services/added.yaml')
        const pushes: number[] = []
        const taken: number[] = []
        for (let change = 0; change < CHANGES; change += 1) {
          const adds = change % 2 === 0
          await (adds ? writeFile(file, SERVICE) : rm(file))
          await policy.commit(adds ? 'a service comes' : 'a service goes')
          const seen = watch.changes.length
          const began = Date.now()
          const { at } = await policy.push()
          const reached = await waitUntil({ what: 'the router', deadline: 30_000 }, () => {
            const found = watch.changes
              .slice(seen)
              .find(
                ({ prefix, isDeleted, over }) =>
                  prefix === ADDED && (adds ? over.length === BALANCERS.length : isDeleted),
              )
            return found?.at ?? null
          })
          pushes.push(at - began)
          taken.push(Math.max(0, reached - at))
          if (change % 50 === 49) say(`${change + 1} of ${CHANGES}`)
        }
        await watch.stop()
        await load.stop()
        return [
          milliseconds('route_p50', taken, 0.5),
          milliseconds('route_p99', taken, 0.99),
          {
            name: 'lost_requests',
            value: failuresOf(load.events).length,
            unit: 'requests',
            n: load.events.length,
          },
          milliseconds('git_push_baseline', pushes, 0.5),
        ]
      },
    ),
}
