import { join } from 'node:path'
import { readLinkInfo } from './libbpf/info.ts'
import { queryXdp } from './libbpf/links.ts'
import { listPins, nameOfPin, openPin, pinsChangedAt } from './libbpf/pins.ts'
import { interfaceIndex } from './libc.ts'
import type { NodePins } from './node-pins.ts'

/** Without its program a node forwards nothing: the one thing that is looked at more often than all the rest. */
const LOOK_MS = 200

/**
 * Gives something whenever a link or the program of an interface is another one. The kernel tells nobody of these (no
 * notification of rtnetlink comes of a BPF link that is detached or has its program replaced), and looking costs some
 * five system calls: the folder of links says by its time that it is as it was, and to an interface with a link nobody else can
 * attach a program. Of pins of the program and its maps no packet knows; the next look at all tells of them.
 */
export async function* watchAttachments(pins: NodePins, signal: AbortSignal): AsyncIterable<void> {
  const isChanged = watchLinks(pins)
  while (!signal.aborted) {
    await until(isChanged, signal)
    if (!signal.aborted) yield
  }
}

/** Asks again and again, with a bare timer: a promise and a signal for each of five waits a second cost more than to look. */
function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const ask = (): void => {
    try {
      if (condition()) resolve()
    } catch (error) {
      reject(error)
    }
  }
  const end = (): void => resolve()
  const timer = setInterval(ask, LOOK_MS)
  signal.addEventListener('abort', end, { once: true })
  return promise.finally(() => {
    clearInterval(timer)
    signal.removeEventListener('abort', end)
  })
}

function watchLinks(pins: NodePins): () => boolean {
  let pinned: readonly Pinned[] = []
  let knownFolder = -1
  let knownLinks = ''
  const look = (): boolean => {
    const folder = pinsChangedAt(pins.links)
    if (folder !== knownFolder)
      pinned = listPins(pins.links).map(pin => ({ name: nameOfPin(pin), path: join(pins.links, pin) }))
    const links = pinned.map(describeLink).join()
    const changed = folder !== knownFolder || links !== knownLinks
    knownFolder = folder
    knownLinks = links
    return changed
  }
  look()
  return look
}

interface Pinned {
  readonly name: string
  readonly path: string
}

function describeLink({ name, path }: Pinned): string {
  using link = openPin(path)
  if (link === undefined) return ''
  const { id, programId, ifindex } = readLinkInfo(link.fd)
  if (ifindex !== 0) return `${id} ${programId} ${ifindex}`
  const index = interfaceIndex(name)
  return `${id} ${programId} - ${index === 0 ? 0 : queryXdp(index).programId}`
}
