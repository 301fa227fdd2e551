import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite } from 'node:test'
import { createSimulatedDriver } from '../../reconciler/drivers/simulated/driver.ts'
import { testDriverContract } from './contract.ts'
import { xdpTable } from './xdp-tables.ts'

const absentKey = 'service/192.0.2.254:9/tcp'

suite('the simulated driver in memory', () => {
  const driver = createSimulatedDriver({ name: 'xdp' })
  testDriverContract({ open: () => driver, tables: xdpTable(['eth0', 'eth1.100']), runs: 200, absentKey })
})

suite('the simulated driver in a file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ballast-simulated-'))
  after(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'table.json')
  const open = () => createSimulatedDriver({ name: 'xdp', file })
  testDriverContract({ open, tables: xdpTable(['eth0']), runs: 60, absentKey })
})
