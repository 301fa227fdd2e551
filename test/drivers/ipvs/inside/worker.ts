import { buildDesired } from '../../../../reconciler/desired/build-desired.ts'
import { createIpvsDriver } from '../../../../reconciler/drivers/ipvs/driver.ts'
import { createXdpDriver } from '../../../../reconciler/drivers/xdp/driver.ts'
import { parseManifests } from '../../../../reconciler/manifest/parse-manifests.ts'
import { diffNode } from '../../../../reconciler/plan/diff.ts'
import { converge, type Drivers, observeNode } from '../../../../reconciler/worker/converge.ts'
import { openDepartures } from '../../../../reconciler/worker/departures.ts'
import type { NodeTables } from '../../../../schemas/node-state.ts'
import { objectFile } from '../../../bpf/balancer.ts'
import { OWNED_FILE } from './lab.ts'

/** A worker with the real drivers, without a queue: it is told what is wanted and what time it is, and looks when it is asked to. */
export interface Worker {
  /** Until nothing is to be done at this moment; what waits, in words. */
  look(wanted: NodeTables): Promise<readonly string[]>
  /** Lets so many seconds pass for it. */
  pass(seconds: number): void
  readonly drivers: Drivers
}

/** What goes waits for its connections to end, 60 seconds at most. */
const HANDOVER = { shutdownTime: 0, drainTimeout: 60 }

export async function startWorker({ withXdp }: { withXdp: boolean }): Promise<Worker> {
  const drivers: Drivers = {
    ipvs: createIpvsDriver({ file: OWNED_FILE }),
    ...(withXdp && {
      xdp: createXdpDriver({ node: 'lb-1', bpffs: '/run/bpf', objectFile: objectFile('lb') }),
    }),
  }
  let clock = 0
  const departures = await openDepartures('/run/departures.json', drivers, () => clock)
  return {
    drivers,
    pass(seconds) {
      clock += 1000 * seconds
    },
    async look(wanted) {
      for (;;) {
        const seen = await observeNode(drivers)
        const { target, pending } = await departures.plan(wanted, seen.tables, HANDOVER)
        const edits = Object.values(diffNode(target, seen.tables)).flat()
        if (edits.length === 0) return pending
        const { failures } = await converge(drivers, target, seen, new AbortController().signal)
        if (failures.length > 0) throw new Error(JSON.stringify(failures))
      }
    },
  }
}

/** What lb-1 should hold, by these manifests. */
export function desiredOf(...texts: readonly string[]): NodeTables {
  const files = texts.map((text, number) => ({ path: `${number}.yaml`, text }))
  const { manifests, diagnostics } = parseManifests(files)
  if (diagnostics.some(({ severity }) => severity === 'error')) throw new Error(JSON.stringify(diagnostics))
  return buildDesired(manifests).nodes.get('lb-1')!.state.tables
}
