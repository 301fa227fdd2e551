import { encodeIndex } from '../../reconciler/drivers/xdp/layout.ts'
import { lookupEntry, updateEntry } from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openObject } from '../../reconciler/drivers/xdp/libbpf/object.ts'
import { runProgram } from '../../reconciler/drivers/xdp/libbpf/test-run.ts'
import { ACTIONS, type Action, objectFile } from '../bpf/balancer.ts'

/** Runs bpf/bench/bench.bpf.c, which gives packets to a program: see there for how and why. */

/** `struct plan` of bpf/bench/bench.bpf.c. */
const PLAN = {
  size: 200,
  ipv6: 96,
  flow: 100,
  flowMask: 104,
  multiplier: 108,
  increment: 112,
  actions: 120,
  failed: 184,
} as const
const FRAME_BYTES = 96
const PACKETS_PER_RUN = 32

/** Of a linear congruential generator that visits every flow once before it comes round. */
const SHUFFLE = { multiplier: 1_664_525, increment: 1_013_904_223 }
const IN_ORDER = { multiplier: 1, increment: 1 }

export interface Traffic {
  /** 96 bytes; its source address and source port are replaced by the flow's. */
  readonly frame: Uint8Array
  /** A power of two. */
  readonly flows: number
  readonly order: 'in order' | 'random'
  readonly packets: number
  /** The flow to begin with. */
  readonly from: number
}

export interface Driven {
  /** Of one packet, ns, with everything that the driver itself does. */
  readonly gross: number
  /** What the program answered for all of the packets. */
  readonly action: Action
}

export interface Driver extends Disposable {
  /** Throws when a program was not run, or did not answer the same for every packet. */
  run(program: number, traffic: Traffic): Driven
  readonly empty: number
  readonly growAndShrink: number
  readonly cheapestEncapsulation: number
}

export async function openDriver(): Promise<Driver> {
  const object = openObject(objectFile('bench'), 'bench')
  await object.load()
  const plans = object.mapFd('plans')
  const programs = object.mapFd('programs')
  const drive = object.programFd('drive')
  return {
    run(program, traffic) {
      updateEntry(programs, encodeIndex(0), encodeIndex(program))
      updateEntry(plans, encodeIndex(0), encodePlan(traffic))
      const repeat = Math.ceil(traffic.packets / PACKETS_PER_RUN)
      const { duration } = runProgram(drive, traffic.frame, { repeat })
      const plan = Buffer.alloc(PLAN.size)
      lookupEntry(plans, encodeIndex(0), plan)
      return { gross: duration / PACKETS_PER_RUN, action: onlyAction(plan, repeat * PACKETS_PER_RUN) }
    },
    empty: object.programFd('empty'),
    growAndShrink: object.programFd('grow_and_shrink'),
    cheapestEncapsulation: object.programFd('cheapest_encapsulation'),
    [Symbol.dispose]: () => object.close(),
  }
}

function encodePlan({ frame, flows, order, from }: Traffic): Buffer {
  if (frame.length !== FRAME_BYTES)
    throw new TypeError(`a frame of ${FRAME_BYTES} bytes, not ${frame.length}`)
  const plan = Buffer.alloc(PLAN.size)
  plan.set(frame)
  plan.writeUInt32LE(frame[12] === 0x86 ? 1 : 0, PLAN.ipv6)
  plan.writeUInt32LE(from, PLAN.flow)
  plan.writeUInt32LE(flows - 1, PLAN.flowMask)
  const { multiplier, increment } = order === 'random' ? SHUFFLE : IN_ORDER
  plan.writeUInt32LE(multiplier, PLAN.multiplier)
  plan.writeUInt32LE(increment, PLAN.increment)
  return plan
}

function onlyAction(plan: Buffer, packets: number): Action {
  const counts = Array.from({ length: 8 }, (_, i) => Number(plan.readBigUInt64LE(PLAN.actions + 8 * i)))
  const index = counts.indexOf(packets)
  const failed = Number(plan.readBigUInt64LE(PLAN.failed))
  const action = ACTIONS[index]
  if (action === undefined || failed > 0) {
    throw new Error(`of ${packets} packets, by action: ${counts.join(' ')}; failed runs: ${failed}`)
  }
  return action
}
