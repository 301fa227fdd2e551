import { BallastError } from '../../../schemas/ballast-error.ts'
import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { type Dataplane, openDataplaneOf, readPinnedLinks } from './dataplane.ts'
import { copyFlows } from './flow-table.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { EBUSY, EEXIST, ENODEV, errnoName } from './libbpf/errno.ts'
import { readLinkInfo } from './libbpf/info.ts'
import { attachXdp, detachLink, queryXdp, updateLink, type XdpMode } from './libbpf/links.ts'
import { openPin, pinObject, unpin } from './libbpf/pins.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'
import {
  moveInterrupts,
  releaseChannels,
  releaseCpus,
  writeInterrupts,
  writeThreads,
} from './receive-cpus/receive-cpus.ts'
import { writeSteering } from './receive-steering.ts'

/**
 * Makes the node's program the one of an interface, in one of the modes that the row allows, and has its packets taken
 * by and steered to CPUs if the row says which.
 */
export async function putInterface(
  pins: NodePins,
  dataplane: Dataplane,
  row: XdpInterfaceRow,
): Promise<void> {
  const { name, rps, cpus } = row
  if (cpus !== undefined) writeInterrupts(pins, name, cpus)
  await putProgram(pins, dataplane, row)
  if (cpus !== undefined) {
    moveInterrupts(pins, name, cpus)
    writeThreads(pins, name, cpus)
  } else {
    releaseCpus(pins, name)
    releaseChannels(pins, name)
  }
  if (rps !== undefined) writeSteering(name, rps)
}

async function putProgram(
  pins: NodePins,
  dataplane: Dataplane,
  { name, attach }: XdpInterfaceRow,
): Promise<void> {
  const index = requireInterface(name)
  using link = openPin(pins.link(name))
  if (link !== undefined) {
    const mode = readLinkInfo(link.fd).ifindex === index ? queryXdp(index).mode : 'none'
    if (mode === attach || (attach === 'auto' && mode !== 'none'))
      return replacePrograms(pins, dataplane, [name])
    dropLink(pins, name, link)
  }
  using made = attachInMode(dataplane.fd, name, index, attach === 'auto' ? ['native', 'generic'] : [attach])
  pinObject(made.fd, pins.link(name))
}

/** Detaches; an interface without a link is no failure. */
export function dropInterface(pins: NodePins, name: string): void {
  releaseCpus(pins, name)
  using link = openPin(pins.link(name))
  if (link !== undefined) dropLink(pins, name, link)
  releaseChannels(pins, name)
}

/**
 * Puts the node's program in place of whatever other one the links have, between two packets. Flows that the
 * other program has in another table come along, those of the last moment too.
 */
export async function replacePrograms(
  pins: NodePins,
  dataplane: Dataplane,
  names: readonly string[],
): Promise<void> {
  using stack = new DisposableStack()
  const replaced = new Map<number, Dataplane>()
  for (const { interfaceName, programId, ifindex } of readPinnedLinks(pins)) {
    if (ifindex === 0 || programId === dataplane.program.id || !names.includes(interfaceName)) continue
    const old = replaced.get(programId) ?? openDataplaneOf(programId)
    if (old !== undefined && !replaced.has(programId)) replaced.set(programId, stack.use(old))
    using link = openPin(pins.link(interfaceName))
    if (link !== undefined) updateLink(link.fd, dataplane.fd)
  }
  for (const old of replaced.values()) await copyFlows(old, dataplane)
}

/** Throws `XDP_NO_INTERFACE`. */
export function requireInterface(name: string): number {
  const index = interfaceIndex(name)
  if (index === 0) throw noInterface(name)
  return index
}

/**
 * Attaches in the first of the modes that works. Throws `XDP_INTERFACE_BUSY`, `XDP_NO_INTERFACE`,
 * `XDP_NOT_ATTACHED`.
 */
export function attachInMode(
  program: number,
  name: string,
  index: number,
  modes: readonly XdpMode[],
): Descriptor {
  const refusals: string[] = []
  for (const mode of modes) {
    const made = attachXdp(program, index, mode)
    if (typeof made !== 'number') return made
    if (made === EBUSY || made === EEXIST) throw busy(name, index)
    if (made === ENODEV) throw noInterface(name)
    refusals.push(`${mode}: ${errnoName(made)}`)
  }
  throw new BallastError({
    code: 'XDP_NOT_ATTACHED',
    message: `the program cannot be attached to ${name} (${refusals.join(', ')})`,
    hint: 'Its driver may lack XDP, or the MTU is too large for it: use attach: auto or generic, or a smaller MTU.',
  })
}

function dropLink(pins: NodePins, name: string, link: Descriptor): void {
  unpin(pins.link(name))
  // Somebody else may hold it too. Of an interface that is gone there is nothing left to detach.
  if (readLinkInfo(link.fd).ifindex !== 0) detachLink(link.fd)
}

const noInterface = (name: string): BallastError =>
  new BallastError({
    code: 'XDP_NO_INTERFACE',
    message: `there is no interface ${name} in the network namespace of this process`,
    hint: 'Bring it up, or correct its name (for a load balancer, in spec.interfaces of its Node manifest).',
    retryable: true,
  })

function busy(name: string, index: number): BallastError {
  const { programId, mode } = queryXdp(index)
  return new BallastError({
    code: 'XDP_INTERFACE_BUSY',
    message: `${name} has another XDP program already (id ${programId}, ${mode})`,
    hint: `See whose it is: bpftool prog show id ${programId}. Detach it: ip link set dev ${name} xdp off`,
    retryable: true,
  })
}
