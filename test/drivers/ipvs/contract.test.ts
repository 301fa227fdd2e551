import { testOnKernel } from './on-kernel.ts'

testOnKernel('the IPVS driver keeps the contract, on a kernel', 'contract')
