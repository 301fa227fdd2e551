import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { formatCpuList, formatCpuMask, parseCpuList, parseCpuMask } from '../../../schemas/cpu-list.ts'
import { classOf } from './class-of.ts'

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

const refused = (name: string, cpus: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'XDP_NO_CPU',
    message: `packets of ${name} cannot be steered to CPUs ${cpus}`,
    hint: 'Name CPUs that the machine has (lscpu), in spec.interfaces[].rps of the Node manifest.',
    cause,
  })
