import { readFileSync } from 'node:fs'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import { parseCpuList } from '../../../../schemas/cpu-list.ts'

/** `0-3`. */
export const onlineCpus = (): string => readFileSync('/sys/devices/system/cpu/online', 'latin1').trim()

/** Throws `XDP_NO_CPU` when the machine lacks one of them. */
export function refuseMissing(name: string, cpus: string): void {
  const present = new Set(parseCpuList(onlineCpus()))
  const missing = parseCpuList(cpus).filter(cpu => !present.has(cpu))
  if (missing.length === 0) return
  throw new BallastError({
    code: 'XDP_NO_CPU',
    message: `packets of ${name} cannot be taken by CPUs ${cpus}: there is no CPU ${missing.join(', ')}`,
    hint: 'Name CPUs that the machine has (lscpu), in spec.interfaces[].cpus of the Node manifest.',
  })
}

/** Runs what the kernel may refuse. Throws `XDP_CPUS_REFUSED`. */
export function refusable(what: string, work: () => void): void {
  try {
    work()
  } catch (cause) {
    throw new BallastError({
      code: 'XDP_CPUS_REFUSED',
      message: `${what} is refused: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Interrupts may be managed by their driver alone, channels be fixed while a program is attached (ethtool -L before), and threads of the kernel take CAP_SYS_NICE.',
      cause,
    })
  }
}

export const unsupported = (name: string, why: string): BallastError =>
  new BallastError({
    code: 'XDP_CPUS_UNSUPPORTED',
    message: `which CPUs take the packets of ${name} cannot be set: ${why}`,
    hint: 'Leave out its cpus in spec.interfaces of the Node manifest; with attach: generic, rps does as much.',
  })
