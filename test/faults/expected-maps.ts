import assert from 'node:assert/strict'
import { join } from 'node:path'
import { createEvaluator } from '../../reconciler/controller/evaluate.ts'
import { createXdpDriver } from '../../reconciler/drivers/xdp/driver.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import type { FaultFleet } from './fault-fleet.ts'

const OBJECT = join(import.meta.dirname, '../../bpf/build/lb.bpf.o')

type Services = Record<string, NodeTables['xdp'][string]>
const servicesOf = (rows: NodeTables['xdp']): Services =>
  Object.fromEntries(Object.entries(rows).filter(([, { kind }]) => kind === 'service'))

/** Read here, by another process than the workers, and compared with what Git says. A node that left has no services. */
export async function expectMapsAsDesired(fleet: FaultFleet, node: string, revision: string): Promise<void> {
  const repository = await openRepository({ dir: fleet.policy.bare })
  const { fleet: desired } = await createEvaluator(repository, '')(revision)
  const driver = createXdpDriver({ node, bpffs: fleet.lab.bpffs, objectFile: OBJECT })
  const observed = await driver.observe()
  await driver.close()
  assert.deepEqual(
    servicesOf(observed.rows),
    servicesOf(desired!.nodes.get(node)?.state.tables.xdp ?? {}),
    node,
  )
}
