import {
  type DecapReason,
  decapReasons,
  encodePrefix,
} from '../../reconciler/drivers/xdp/decap/decap-layout.ts'
import { encodeIndex } from '../../reconciler/drivers/xdp/layout.ts'
import { readMapInfo } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import { updateEntry } from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openObject } from '../../reconciler/drivers/xdp/libbpf/object.ts'
import { runProgram } from '../../reconciler/drivers/xdp/libbpf/test-run.ts'
import { readCounters } from '../../reconciler/drivers/xdp/member-counters.ts'
import { ACTIONS, type Action, objectFile } from './balancer.ts'

/** The backend's program, loaded with maps of its own, attached to nothing. */
export interface Decapsulator extends Disposable {
  send(frame: Uint8Array): { action: Action; frame: Buffer }
  /** What was counted since the last call, without the zeros. */
  counted(): Partial<Record<DecapReason, number>>
}

/** VIPs and balancers of the tests beside this file, unless others are given. */
export async function openDecapsulator({
  vips = ['203.0.113.0/24', '2001:db8:ffff::/48'],
  allowed = ['10.64.0.1', '2001:db8:64::1'],
  guePort = 6080,
} = {}): Promise<Decapsulator> {
  const object = openObject(objectFile('decap'), 'decap')
  const port = Buffer.alloc(2)
  port.writeUInt16LE(guePort)
  try {
    object.setConstant('gue_port', port)
    await object.load()
  } catch (error) {
    object.close()
    throw error
  }
  for (const vip of vips) updateEntry(object.mapFd('vips'), encodePrefix(vip), encodeIndex(1))
  for (const each of allowed) updateEntry(object.mapFd('allowed'), encodePrefix(each), encodeIndex(1))
  const fd = object.mapFd('decap_counters')
  const counters = { fd, info: readMapInfo(fd) }
  const seen = new Map<DecapReason, number>()
  return {
    send(frame) {
      const { result, packet } = runProgram(object.programFd('decap'), frame)
      return { action: ACTIONS[result] ?? 'aborted', frame: packet }
    },
    counted() {
      const since: Partial<Record<DecapReason, number>> = {}
      for (const [value, reason] of decapReasons.entries()) {
        const packets = readCounters(counters, value)![0]!
        const grown = packets - (seen.get(reason) ?? 0)
        if (grown !== 0) since[reason] = grown
        seen.set(reason, packets)
      }
      return since
    },
    [Symbol.dispose]: () => object.close(),
  }
}
