import { testOnKernel } from './on-kernel.ts'

// In a kernel of their own: their connections live for minutes, and others begin where there are none.
testOnKernel("the kernel's tables", 'kernel-tables')
