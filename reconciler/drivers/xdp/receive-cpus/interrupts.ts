import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { classOf } from '../class-of.ts'
import { groupByQueue } from './queue-interrupts.ts'

/** The interrupts of each queue of an interface, queue after queue; none of what has no interrupts. */
export function findInterrupts(name: string): number[][] {
  const device = `${classOf(name)}/${name}/device`
  // Of virtio the device is below the one that interrupts.
  for (const folder of [`${device}/msi_irqs`, `${device}/../msi_irqs`]) {
    const irqs = listFolder(folder).map(Number)
    if (irqs.length > 0) return groupByQueue(irqs.flatMap(nameInterrupt))
  }
  return []
}

/** Those that are in use: some drivers have interrupts for as many channels as there could be. */
export const ofChannels = (queues: readonly number[][], combined: number): readonly number[][] =>
  combined === 0 ? queues : queues.slice(0, combined)

/** As `0-3,8`. */
export const readInterrupt = (irq: number): string =>
  readFileSync(`/proc/irq/${irq}/smp_affinity_list`, 'latin1').trim()

export const writeInterrupt = (irq: number, cpus: string): void =>
  writeFileSync(`/proc/irq/${irq}/smp_affinity_list`, cpus)

/** By its folder there: `/proc/irq/38/virtio2-input.0`. */
const nameInterrupt = (irq: number) =>
  listFolder(`/proc/irq/${irq}`, true)
    .slice(0, 1)
    .map(name => ({ irq, name }))

function listFolder(folder: string, foldersOnly = false): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => !foldersOnly || entry.isDirectory())
      .map(entry => entry.name)
  } catch {
    return []
  }
}
