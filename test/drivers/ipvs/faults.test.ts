import { testOnKernel } from './on-kernel.ts'

testOnKernel('the IPVS driver, when something fails on a kernel', 'faults')
