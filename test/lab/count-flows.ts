import { createXdpDriver } from '../../reconciler/drivers/xdp/driver.ts'

/** Run on a load balancer of a lab: `node count-flows.ts ORDER`, with `{node, bpffs, objectFile}` as JSON. Prints how many flows are live. */
const driver = createXdpDriver(JSON.parse(process.argv[2] ?? ''))
const { liveFlows } = await driver.readCounters()
process.stdout.write(JSON.stringify({ liveFlows }))
