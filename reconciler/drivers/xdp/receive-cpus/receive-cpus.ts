import { parseCpuList } from '../../../../schemas/cpu-list.ts'
import { interfaceIndex } from '../libc.ts'
import type { NodePins } from '../node-pins.ts'
import { readAffinity, writeAffinity } from './affinity.ts'
import { assignCpus, recogniseCpus } from './assign-cpus.ts'
import { readChannels, writeChannels } from './channels.ts'
import { type Claim, claim, dropClaims, readClaims } from './claims.ts'
import { onlineCpus, refusable, refuseMissing, unsupported } from './cpu-failures.ts'
import { findInterrupts, ofChannels, readInterrupt, writeInterrupt } from './interrupts.ts'
import { findThreads, readThreaded, startThreads, writeThreaded } from './threads.ts'

/**
 * Which CPUs take the packets of an interface, before the program runs: of a card, those that its queues interrupt; of
 * what has no interrupts, as veth, those that its NAPI threads run on.
 */

/** Undefined: Ballast set none. `none`: what it set is gone; `uneven`: it is otherwise. */
export function readCpus(pins: NodePins, name: string): string | undefined {
  if (readClaims(pins, name) === null) return undefined
  try {
    const interrupts = findInterrupts(name)
    return interrupts.length > 0 ? readOfInterrupts(name, interrupts) : readOfThreads(name)
  } catch {
    return 'none'
  }
}

function readOfInterrupts(name: string, interrupts: readonly number[][]): string {
  const { combined, most } = readChannels(name)
  const queues = ofChannels(interrupts, combined).map(irqs => new Set(irqs.map(readInterrupt)))
  if (queues.some(({ size }) => size > 1)) return 'uneven'
  const cpus = recogniseCpus(queues.flatMap(affinities => [...affinities]))
  return cpus === 'uneven' || combined < channelsFor(cpus, most) ? 'uneven' : cpus
}

function readOfThreads(name: string): string {
  if (readThreaded(name) !== '1') return 'none'
  const threads = findThreads(name)
  return threads.length === 0 ? 'none' : recogniseCpus(threads.map(readAffinity))
}

/** A channel for each, as far as there are. */
const channelsFor = (cpus: string, most: number): number => Math.min(most, parseCpuList(cpus).length)

/**
 * Comes before the program is attached, since some drivers then fix their channels. Of what has no interrupts nothing can
 * be done yet. Throws `XDP_NO_CPU`, `XDP_CPUS_REFUSED`.
 */
export function writeInterrupts(pins: NodePins, name: string, cpus: string): void {
  if (findInterrupts(name).length === 0) return
  refuseMissing(name, cpus)
  const { combined, most } = readChannels(name)
  const wanted = Math.max(combined, channelsFor(cpus, most))
  if (combined < wanted) {
    claim(pins, name, [{ kind: 'channels', combined }])
    refusable(`giving ${name} ${wanted} combined channels`, () => writeChannels(name, wanted))
  }
  moveInterrupts(pins, name, cpus)
}

/**
 * Also once the program is attached: some drivers have more queues in use from then on, for what a program sends. Of what has no
 * interrupts there is nothing to do. Throws `XDP_CPUS_REFUSED`.
 */
export function moveInterrupts(pins: NodePins, name: string, cpus: string): void {
  const queues = ofChannels(findInterrupts(name), readChannels(name).combined)
  const before = queues.flat().map((irq): Claim => ({ kind: 'irq', irq, cpus: readInterrupt(irq) }))
  claim(pins, name, before)
  const assigned = assignCpus(cpus, queues.length)
  for (const [queue, irqs] of queues.entries()) {
    const own = assigned[queue]!
    for (const irq of irqs)
      refusable(`interrupt ${irq} of ${name} on CPUs ${own}`, () => writeInterrupt(irq, own))
  }
}

/**
 * Comes after the program is attached, when veth begins to have something to be polled. Of what has interrupts nothing is
 * left to do. Throws `XDP_NO_CPU`, `XDP_CPUS_REFUSED`, `XDP_CPUS_UNSUPPORTED`.
 */
export function writeThreads(pins: NodePins, name: string, cpus: string): void {
  if (findInterrupts(name).length > 0) return
  refuseMissing(name, cpus)
  const value = readThreaded(name)
  if (value === undefined) throw unsupported(name, 'it has neither interrupts nor NAPI threads')
  claim(pins, name, [{ kind: 'threaded', value }])
  if (value !== '1') refusable(`polling ${name} by threads`, () => startThreads(name))
  const threads = findThreads(name)
  if (threads.length === 0) throw unsupported(name, 'it has no interrupts, and nothing is polled')
  const assigned = assignCpus(cpus, threads.length)
  for (const [queue, pid] of threads.entries()) {
    const own = assigned[queue]!
    refusable(`NAPI thread ${pid} of ${name} on CPUs ${own}`, () => writeAffinity(pid, own))
  }
}

/**
 * Puts back what was there before, while the program is still attached, since of veth there is nothing to be polled
 * afterwards. Nothing to put back is no failure, and what cannot be put back is left.
 */
export function releaseCpus(pins: NodePins, name: string): void {
  putBackAll(
    name,
    (readClaims(pins, name) ?? []).filter(({ kind }) => kind !== 'channels'),
  )
}

/** The rest, once no program is attached that fixes them; then nothing was ever asked for. */
export function releaseChannels(pins: NodePins, name: string): void {
  putBackAll(
    name,
    (readClaims(pins, name) ?? []).filter(({ kind }) => kind === 'channels'),
  )
  dropClaims(pins, name)
}

function putBackAll(name: string, claims: readonly Claim[]): void {
  // Of an interface that is gone nothing is left.
  for (const each of interfaceIndex(name) === 0 ? [] : claims) {
    try {
      putBack(name, each)
    } catch {
      // Somebody has changed the interface meanwhile, or its driver fixes it.
    }
  }
}

function putBack(name: string, each: Claim): void {
  switch (each.kind) {
    case 'channels':
      writeChannels(name, each.combined)
      return
    case 'irq':
      // A driver that was loaded again has others, and this one may be another device's.
      if (findInterrupts(name).flat().includes(each.irq)) writeInterrupt(each.irq, each.cpus)
      return
    case 'threaded':
      // Older kernels keep them, asleep, for when somebody else has need of them: on any CPU then.
      for (const pid of findThreads(name)) writeAffinity(pid, onlineCpus())
      writeThreaded(name, each.value)
      return
    default:
      each satisfies never
  }
}
