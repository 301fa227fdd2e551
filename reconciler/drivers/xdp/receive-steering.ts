import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { formatCpuList, formatCpuMask, parseCpuList, parseCpuMask } from '../../../schemas/cpu-list.ts'
import { bpfFault } from './libbpf/errno.ts'
import { addressOf, lastErrno, loadLibc } from './libbpf/native.ts'
import { interfaceIndex } from './libc.ts'

/**
 * Receive packet steering: which CPUs the kernel spreads an interface's packets over, by their flows. It acts before a
 * program that is attached in generic mode, and behind one in native mode.
 */

/** A list of CPUs, `none`, or `uneven` when queues differ; `none` too where it cannot be read. */
export function readSteering(name: string): string {
  try {
    const masks = new Set(findQueues(name).map(file => readFileSync(file, 'latin1')))
    if (masks.size > 1) return 'uneven'
    return formatCpuList(parseCpuMask([...masks].join())) || 'none'
  } catch {
    return 'none'
  }
}

/** Every queue's. Throws `XDP_NO_CPU` when the machine lacks one of them. */
export function writeSteering(name: string, cpus: string): void {
  const mask = cpus === 'none' ? '0' : formatCpuMask(parseCpuList(cpus))
  try {
    for (const file of findQueues(name)) writeFileSync(file, mask)
  } catch (error) {
    if (error instanceof BallastError) throw error
    throw refused(name, cpus, error)
  }
}

function findQueues(name: string): string[] {
  const queues = `${classOf(name)}/${name}/queues`
  return readdirSync(queues)
    .filter(queue => queue.startsWith('rx-'))
    .map(queue => `${queues}/${queue}/rps_cpus`)
}

/** /sys shows the interfaces of the network namespace that it was mounted in, which need not be that of this process. */
function classOf(name: string): string {
  try {
    const index = Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'latin1'))
    if (index === interfaceIndex(name)) return '/sys/class/net'
  } catch {
    // No such interface there.
  }
  ownSysfs ??= mountSysfs()
  return `/proc/self/fd/${ownSysfs}/class/net`
}

let ownSysfs: number | undefined

/** The same numbers on every architecture. */
const FSOPEN = 430
const FSCONFIG = 431
const FSMOUNT = 432
const FSCONFIG_CMD_CREATE = 6
const CLOEXEC = 1

/** A mount of its own that has no place in any tree, by its descriptor: of the network namespace of this process. */
function mountSysfs(): number {
  const { syscall } = loadLibc()
  const call = (...args: readonly unknown[]): number => {
    const result = Number(syscall(...args))
    if (result < 0) throw bpfFault('mounting sysfs for this network namespace', lastErrno())
    return result
  }
  const type = Buffer.from('sysfs\0')
  const context = call(FSOPEN, addressOf(type), CLOEXEC, 0, 0, 0)
  call(FSCONFIG, context, FSCONFIG_CMD_CREATE, 0, 0, 0)
  return call(FSMOUNT, context, CLOEXEC, 0, 0, 0)
}

const refused = (name: string, cpus: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'XDP_NO_CPU',
    message: `packets of ${name} cannot be steered to CPUs ${cpus}`,
    hint: 'Name CPUs that the machine has (lscpu), in spec.interfaces[].rps of the Node manifest.',
    cause,
  })
