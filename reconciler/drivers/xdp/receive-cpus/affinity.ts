import { formatCpuList, parseCpuList } from '../../../../schemas/cpu-list.ts'
import { bpfFault } from '../libbpf/errno.ts'
import { lastErrno, loadLibc } from '../libbpf/native.ts'

/** Room for the largest machine that the kernel is built for. */
const MASK_BYTES = 1024

/** The CPUs that a thread may run on, `0-3,8`. By the system call, since /proc need not show threads of the kernel. */
export function readAffinity(pid: number): string {
  const mask = Buffer.alloc(MASK_BYTES)
  if (Number(loadLibc().sched_getaffinity(pid, mask.length, mask)) < 0)
    throw bpfFault(`reading the CPUs of thread ${pid}`, lastErrno())
  const cpus: number[] = []
  for (let cpu = 0; cpu < 8 * MASK_BYTES; cpu++) if ((mask[cpu >> 3]! >> (cpu & 7)) & 1) cpus.push(cpu)
  return formatCpuList(cpus)
}

/** Takes CAP_SYS_NICE. */
export function writeAffinity(pid: number, list: string): void {
  const mask = Buffer.alloc(MASK_BYTES)
  for (const cpu of parseCpuList(list)) mask[cpu >> 3]! |= 1 << (cpu & 7)
  if (Number(loadLibc().sched_setaffinity(pid, mask.length, mask)) < 0)
    throw bpfFault(`setting the CPUs of thread ${pid}`, lastErrno())
}
