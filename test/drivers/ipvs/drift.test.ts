import { testOnKernel } from './on-kernel.ts'

testOnKernel('drift of IPVS, by hand on a kernel', 'drift')
