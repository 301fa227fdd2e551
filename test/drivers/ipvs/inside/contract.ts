import { suite } from 'node:test'
import { testDriverContract } from '../../contract.ts'
import { ipvsTable } from '../tables.ts'
import { open, withCleanKernel } from './lab.ts'

suite('contract', () => {
  withCleanKernel()
  testDriverContract<'ipvs'>({
    open,
    tables: ipvsTable(['lo', 'vips']),
    runs: 2,
    absentKey: 'service/192.0.2.254:9/tcp',
  })
})
