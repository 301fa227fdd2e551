import { setTimeout as delay } from 'node:timers/promises'
import { readLinkInfo } from './libbpf/info.ts'
import { queryXdp } from './libbpf/links.ts'
import { listPins, nameOfPin, openPin, pinsChangedAt } from './libbpf/pins.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'

/** Without its program a node forwards nothing: the one thing that is looked at more often than all the rest. */
const LOOK_MS = 200

/**
 * Gives something whenever a link, the program of an interface or a pin is another one. The kernel tells nobody of these (no
 * notification of rtnetlink comes of a BPF link that is detached or has its program replaced), and looking costs some
 * six system calls: folders say by their times that they are as they were, and to an interface with a link nobody else can attach a program.
 */
export async function* watchAttachments(pins: NodePins, signal: AbortSignal): AsyncIterable<void> {
  let names: readonly string[] = []
  let knownFolders = ''
  let knownLinks = ''
  while (!signal.aborted) {
    const folders = pins.folders.map(pinsChangedAt).join()
    if (folders !== knownFolders) names = listPins(pins.links).map(nameOfPin)
    const links = names.map(name => describeLink(pins, name)).join()
    if (knownFolders !== '' && (folders !== knownFolders || links !== knownLinks)) yield
    knownFolders = folders
    knownLinks = links
    await delay(LOOK_MS, undefined, { signal }).catch(() => {})
  }
}

function describeLink(pins: NodePins, name: string): string {
  using link = openPin(pins.link(name))
  if (link === undefined) return ''
  const { id, programId, ifindex } = readLinkInfo(link.fd)
  if (ifindex !== 0) return `${id} ${programId} ${ifindex}`
  const index = interfaceIndex(name)
  return `${id} ${programId} - ${index === 0 ? 0 : queryXdp(index).programId}`
}
