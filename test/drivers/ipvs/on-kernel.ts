import { resolve } from 'node:path'
import { testInUml } from '../../kernels/uml.ts'

const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh']

/** Runs files of `inside/` in a kernel that has IPVS. */
export const testOnKernel = (title: string, ...names: readonly string[]): void =>
  testInUml(title, {
    files: names.map(name => resolve(import.meta.dirname, `inside/${name}.ts`)),
    modules: ['ip_vs', ...SCHEDULERS.map(name => `ip_vs_${name}`), 'dummy', 'veth'],
    limit: 560_000,
  })
