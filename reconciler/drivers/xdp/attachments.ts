import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { type Dataplane, readPinnedLinks } from './dataplane.ts'
import { openProgramById, readProgramInfo } from './libbpf/info.ts'
import { queryXdp } from './libbpf/links.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'
import { readCpus } from './receive-cpus/receive-cpus.ts'
import { readSteering } from './receive-steering.ts'

export interface Attachment {
  readonly row: XdpInterfaceRow
  readonly programId: number
}

/**
 * The interfaces whose packets really go through the node's program: by a pinned link, on the interface that
 * has the name now, with this program and no other.
 */
export const readAttachments = (pins: NodePins, dataplane: Dataplane): Attachment[] =>
  readLinkedInterfaces(pins, dataplane).filter(({ row }) => row.program === undefined)

/** Those, and the ones that a pinned link is for and that have another program. */
export function readLinkedInterfaces(pins: NodePins, { program }: Dataplane): Attachment[] {
  return readPinnedLinks(pins).flatMap(({ interfaceName: name, programId, ifindex }): Attachment[] => {
    const index = interfaceIndex(name)
    if (index === 0 || (ifindex !== 0 && ifindex !== index)) return []
    const attached = queryXdp(index)
    if (attached.programId === 0) return []
    const attach = attached.mode === 'generic' ? 'generic' : 'native'
    const rps = readSteering(name)
    const cpus = readCpus(pins, name)
    const steered = { ...(rps !== 'none' && { rps }), ...(cpus !== undefined && { cpus }) }
    const row = { kind: 'interface', name, attach, ...steered } as const
    const isOurs = [programId, attached.programId].every(id => id === program.id) && ifindex === index
    if (isOurs) return [{ row, programId }]
    return [{ row: { ...row, program: nameProgram(attached.programId) }, programId: attached.programId }]
  })
}

function nameProgram(id: number): string {
  using program = openProgramById(id)
  return program === undefined ? `id ${id}` : `${readProgramInfo(program.fd).name} (id ${id})`
}
