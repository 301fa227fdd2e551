import { createXdpDriver } from '../../../reconciler/drivers/xdp/driver.ts'
import { converge } from '../contract.ts'
import { restlessTables } from './restless-tables.ts'

/**
 * `node restless.ts NODE BPFFS OBJECT INTERFACE INTERFACE`: applies one table after the other until it is
 * killed.
 */
const [node, bpffs, objectFile, ...interfaces] = process.argv.slice(2) as string[]
const driver = createXdpDriver({ node: node!, bpffs: bpffs!, objectFile: objectFile! })
const tables = restlessTables(interfaces as unknown as [string, string])
process.stdout.write('ready\n')
for (let turn = 0; ; turn++) await converge(driver, tables[turn % tables.length]!)
