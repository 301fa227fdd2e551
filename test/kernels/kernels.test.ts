import { resolve } from 'node:path'
import { buildObjects } from '../bpf/balancer.ts'
import { type GuestKernel, testInGuest } from './guest.ts'

/**
 * The XDP dataplane on kernels of Debian: the oldest that is supported and easy to get, or those that
 * BALLAST_KERNELS names (`npm run test:kernels`: all).
 */
const kernels = (process.env.BALLAST_KERNELS ?? '6.1').split(',') as GuestKernel[]
const inside = (name: string): string => resolve(import.meta.dirname, `inside/${name}.ts`)

await buildObjects()
for (const kernel of kernels)
  testInGuest(`the XDP dataplane on Linux ${kernel}`, kernel, {
    files: [inside(kernel === '5.10' ? 'too-old' : 'supported')],
    modules: ['veth'],
    limit: 200_000,
  })
