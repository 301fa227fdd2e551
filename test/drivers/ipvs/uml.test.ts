import { resolve } from 'node:path'
import { testInUml } from '../../uml/run-tests.ts'

const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh']

testInUml('the IPVS driver, on a kernel', {
  files: ['contract'].map(name => resolve(import.meta.dirname, `inside/${name}.ts`)),
  modules: ['ip_vs', ...SCHEDULERS.map(name => `ip_vs_${name}`), 'dummy', 'veth'],
  limit: 110_000,
})
