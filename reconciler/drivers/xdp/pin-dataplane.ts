import { type Dataplane, MAP_NAMES } from './dataplane.ts'
import { readMapInfo, readProgramInfo } from './libbpf/info.ts'
import { openPin, repinObject, unpin } from './libbpf/pins.ts'
import type { NodePins } from './node-pins.ts'

/** Whether every pin is there and names the program and its maps. */
export const isPinned = (pins: NodePins, { program, maps }: Dataplane): boolean => {
  using pinned = openPin(pins.program)
  return (
    pinned !== undefined &&
    readProgramInfo(pinned.fd).id === program.id &&
    MAP_NAMES.every(name => {
      using map = openPin(pins.map(name))
      return (map && readMapInfo(map.fd).id) === maps[name]?.info.id
    })
  )
}

export function pinDataplane(pins: NodePins, { fd, maps }: Dataplane): void {
  repinObject(fd, pins.program)
  for (const name of MAP_NAMES) {
    const map = maps[name]
    if (map === undefined) unpin(pins.map(name))
    else repinObject(map.fd, pins.map(name))
  }
}
