import { testOnKernel } from './on-kernel.ts'

testOnKernel('the IPVS driver, on a kernel', 'ownership', 'order')
