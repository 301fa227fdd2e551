import { readFileSync } from 'node:fs'
import { bpfFault } from './libbpf/errno.ts'
import { addressOf, lastErrno, loadLibc } from './libbpf/native.ts'
import { interfaceIndex } from './libc.ts'

/** /sys shows the interfaces of the network namespace that it was mounted in, which need not be that of this process. */
export function classOf(name: string): string {
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
