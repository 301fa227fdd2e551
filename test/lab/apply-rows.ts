import { createXdpDriver } from '../../reconciler/drivers/xdp/driver.ts'
import { diffTable } from '../../reconciler/plan/diff.ts'
import type { XdpRow } from '../../schemas/node-state.ts'

/**
 * Run on a load balancer of a lab: `node apply-rows.ts ORDER`, with `{node, bpffs, objectFile, rows}` as JSON. Makes
 * the node's rows these, as a worker would without being told by anyone, and prints what is read back,
 * and what the node counted, by reason and by CPU.
 */
const { rows, ...options } = JSON.parse(process.argv[2] ?? '') as {
  node: string
  bpffs: string
  objectFile: string
  rows: Record<string, XdpRow>
}
const driver = createXdpDriver(options)
const before = await driver.observe()
const outcomes = await driver.apply(diffTable(rows, before.rows), AbortSignal.timeout(20_000))
const failed = outcomes.filter(({ result }) => result !== 'applied')
const after = await driver.observe()
await driver.close()
const { reasons = {}, cpus = [] } = after.facts
process.stdout.write(JSON.stringify({ failed, rows: after.rows, reasons, cpus }))
