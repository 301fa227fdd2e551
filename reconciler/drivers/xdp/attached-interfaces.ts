import { readAttachments } from './attachments.ts'
import { openDataplane } from './dataplane.ts'
import { nodePins } from './node-pins.ts'

/** Names of the interfaces whose packets go through the node's program now. A few system calls. */
export function readAttachedInterfaces(bpffs: string, node: string): string[] {
  const pins = nodePins(bpffs, node)
  using dataplane = openDataplane(pins)
  return dataplane === undefined ? [] : readAttachments(pins, dataplane).map(({ row }) => row.name)
}
