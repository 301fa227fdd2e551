import { suite } from 'node:test'
import { testDriverContract } from '../contract.ts'
import { xdpTable } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

suite('the XDP driver, on the kernel', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  testDriverContract({
    open: lab.open,
    tables: xdpTable(lab.interfaces),
    runs: 32,
    absentKey: 'service/192.0.2.254:9/tcp',
  })
})
