import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { type Dataplane, readPinnedLinks } from './dataplane.ts'
import { queryXdp } from './libbpf/links.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'
import { readSteering } from './receive-steering.ts'

export interface Attachment {
  readonly row: XdpInterfaceRow
  readonly programId: number
}

/**
 * The interfaces whose packets really go through the node's program: by a pinned link, on the interface that
 * has the name now, with this program and no other.
 */
export function readAttachments(pins: NodePins, { program }: Dataplane): Attachment[] {
  return readPinnedLinks(pins).flatMap(({ interfaceName: name, programId, ifindex }) => {
    if (programId !== program.id || ifindex === 0 || ifindex !== interfaceIndex(name)) return []
    const attached = queryXdp(ifindex)
    if (attached.programId !== program.id) return []
    const attach = attached.mode === 'generic' ? 'generic' : 'native'
    const rps = readSteering(name)
    return [{ row: { kind: 'interface', name, attach, ...(rps !== 'none' && { rps }) }, programId }]
  })
}
