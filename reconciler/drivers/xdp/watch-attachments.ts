import { setTimeout as delay } from 'node:timers/promises'
import { readPinnedLinks } from './dataplane.ts'
import { queryXdp } from './libbpf/links.ts'
import { listPins } from './libbpf/pins.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'

/** Without its program a node forwards nothing: the one thing that is looked at more often than all the rest. */
const LOOK_MS = 200

/**
 * Gives something whenever a link, the program of an interface or a pin is another one. The kernel tells nobody of these (no
 * notification of rtnetlink comes of a BPF link that is detached or has its program replaced), and looking costs some
 * ten system calls.
 */
export async function* watchAttachments(pins: NodePins, signal: AbortSignal): AsyncIterable<void> {
  let known = describe(pins)
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal }).catch(() => {})
    const found = describe(pins)
    if (found !== known) yield
    known = found
  }
}

function describe(pins: NodePins): string {
  const links = readPinnedLinks(pins).map(({ interfaceName, programId, ifindex }) => {
    const index = interfaceIndex(interfaceName)
    return [interfaceName, programId, ifindex, index === 0 ? 0 : queryXdp(index).programId]
  })
  return JSON.stringify([links, ...pins.folders.map(listPins)])
}
