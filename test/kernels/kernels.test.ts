import { resolve } from 'node:path'
import { buildObjects } from '../bpf/balancer.ts'
import { type GuestKernel, testInGuest } from './guest.ts'

/**
 * Both dataplanes on kernels of Debian: the oldest that is supported and easy to get, or those that
 * BALLAST_KERNELS names (`npm run test:kernels`: all).
 */
const kernels = (process.env.BALLAST_KERNELS ?? '6.1').split(',') as GuestKernel[]
const SCHEDULERS = ['rr', 'wrr', 'wlc', 'sh', 'mh', 'fo']
const inside = (name: string): string => resolve(import.meta.dirname, `inside/${name}.ts`)
const ofIpvs = (name: string): string => resolve(import.meta.dirname, `../drivers/ipvs/inside/${name}.ts`)

await buildObjects()
for (const kernel of kernels)
  testInGuest(`the dataplanes on Linux ${kernel}`, kernel, {
    files:
      kernel === '5.10'
        ? [inside('too-old'), inside('ipvsadm')]
        : [inside('supported'), inside('ipvsadm'), ofIpvs('tcp'), ofIpvs('move')],
    modules: ['veth', 'dummy', 'bridge', 'ipip', 'fou', 'ip_vs', ...SCHEDULERS.map(name => `ip_vs_${name}`)],
    limit: 600_000,
  })
