import { setTimeout as delay } from 'node:timers/promises'
import { type ControlPlane, createControlPlane, writeSettings } from '../../reconciler/lab/control-plane.ts'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { createPolicyRepository, type PolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { startRouting } from '../../reconciler/lab/routing.ts'
import { hostsOf, TOPOLOGY, type Topology } from '../../reconciler/lab/topology.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { untilRouted as untilRoutedOn } from '../../reconciler/lab/watch-routes.ts'

export interface BgpLab {
  readonly lab: Lab
  readonly policy: PolicyRepository
  readonly control: ControlPlane
  /** Waits until the router leads to a VIP over these, and no others; gives when, ms since the epoch. */
  untilRouted(vip: string, over: readonly string[]): Promise<number>
}

export const BALANCERS = ['lb-1', 'lb-2']
export const VIP = '203.0.113.10'

/** Four processes and a lab begin at once, on a machine that may be busy. */
const START_LIMIT_MS = 180_000

export interface BgpLabOptions {
  /** That of the example manifests when left out. */
  readonly topology?: Topology
  /** Load balancers that run GoBGP and not BIRD. */
  readonly gobgp?: readonly string[]
}

/** The example fleet on a lab that speaks BGP, changed by `edit` before its first push; gone after `work`. */
export async function withBgpLab<Result>(
  edit: (policy: PolicyRepository) => Promise<void>,
  work: (lab: BgpLab) => Promise<Result>,
  { topology = TOPOLOGY, gobgp = [] }: BgpLabOptions = {},
): Promise<Result> {
  const lab = await labUp(`conv-${process.pid}`, process.pid, topology)
  const balancers = hostsOf(topology, 'lb').map(({ name }) => name)
  let control: ControlPlane | null = null
  try {
    await startRouting(lab, gobgp)
    await startBackends(lab)
    const policy = await createPolicyRepository(lab.dir)
    await edit(policy)
    await policy.commit('the example fleet')
    await policy.push()
    control = createControlPlane(lab, await writeSettings(lab, { repo: policy.bare }))
    await control.startReconciler()
    for (const name of balancers) await control.startWorker(name, gobgp.includes(name) ? 'gobgp' : 'bird')
    const untilRouted = (vip: string, over: readonly string[]) => untilRoutedOn(lab, vip, over)
    await untilRoutedOn(lab, VIP, balancers, { deadline: START_LIMIT_MS })
    // Sessions and processes are past their beginnings.
    await delay(2_000)
    return await work({ lab, policy, control, untilRouted })
  } catch (error) {
    const said = control?.events.slice(-20).map(event => JSON.stringify(event)) ?? []
    throw new Error(`${(error as Error).message}; the last that processes said:\n${said.join('\n')}`, {
      cause: error,
    })
  } finally {
    await control?.stop()
    await labDown(lab.name)
  }
}
