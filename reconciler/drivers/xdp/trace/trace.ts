import { BallastError } from '../../../../schemas/ballast-error.ts'
import { type Dataplane, openDataplane } from '../dataplane.ts'
import { encodeIndex } from '../layout.ts'
import { findLoadedVariable } from '../libbpf/btf.ts'
import { openMapById, readMapInfo } from '../libbpf/info.ts'
import { lookupEntry, updateEntry } from '../libbpf/maps.ts'
import { openRingBuffer } from '../libbpf/ring-buffer.ts'
import { nodePins } from '../node-pins.ts'
import {
  decodeTraceEvent,
  encodeTraceControl,
  type TraceEvent,
  type TraceFilter,
  traceStructs,
} from './trace-layout.ts'

export interface TraceOptions {
  readonly bpffs: string
  readonly node: string
  readonly filter: TraceFilter
  /** Events for each CPU in about a second (2^30 ns). */
  readonly rate: number
  readonly take: (event: TraceEvent) => void
  readonly now: () => bigint
}

/** Samples of what becomes of packets, from the program of a node. The program ends it by itself when nobody calls `look`. */
export interface Trace extends Disposable {
  /** Gives what has come since; to be called at least once a second. False: the node's program is another one now. */
  look(): boolean
  /** Events for which there was no room. */
  lost(): number
}

/** Ticks without a look after which the program no longer samples. */
const PATIENCE_TICKS = 5
const TICK_SHIFT = 30n
const TICK_MASK = (1n << 24n) - 1n

/** Throws `TRACE_NO_PROGRAM`, `TRACE_BUSY`. `now`: the monotonic clock, ns. */
export function startTrace({ bpffs, node, filter, rate, take, now }: TraceOptions): Trace {
  using stack = new DisposableStack()
  const pins = nodePins(bpffs, node)
  const dataplane = openDataplane(pins)
  if (dataplane === undefined) throw noProgram(node, bpffs)
  stack.use(dataplane)
  const variable = stack.use(openVariable(dataplane, node, bpffs))
  const events = stack.use(openMap(dataplane, name => name === 'trace_events') ?? fail(node, bpffs))
  const tick = (): number => Number((now() >> TICK_SHIFT) & TICK_MASK)
  if (variable.isInUse(tick())) throw busy(node)
  const ring = stack.use(openRingBuffer(events.fd, sample => take(decodeTraceEvent(sample))))
  let lost = 0
  const renew = (): void => {
    lost += variable.readLost()
    variable.write(encodeTraceControl(filter, { rate, until: (tick() + PATIENCE_TICKS) & Number(TICK_MASK) }))
  }
  renew()
  const kept = stack.move()
  return {
    look() {
      ring.drain()
      renew()
      using present = openDataplane(pins)
      return present?.program.id === dataplane.program.id
    },
    lost: () => lost + variable.readLost(),
    [Symbol.dispose]() {
      variable.write(encodeTraceControl({}, { rate: 0, until: 0 }))
      ring.drain()
      kept.dispose()
    },
  }
}

/** The program's variable `trace_control`. */
function openVariable(dataplane: Dataplane, node: string, bpffs: string) {
  const map = openMap(dataplane, name => name.endsWith('.bss')) ?? fail(node, bpffs)
  const place = findLoadedVariable(dataplane.program.btfId, '.bss', 'trace_control')
  const { size, fields } = traceStructs.trace_control
  if (place?.size !== size) {
    map.close()
    throw noProgram(node, bpffs)
  }
  const section = Buffer.alloc(readMapInfo(map.fd).valueSize)
  const read = (): Buffer => {
    lookupEntry(map.fd, encodeIndex(0), section)
    return section.subarray(place.offset, place.offset + size)
  }
  return {
    readLost: (): number => read().readUInt32LE(fields.lost),
    /** Somebody else renewed it lately. */
    isInUse(tick: number): boolean {
      const bytes = read()
      const left = (bytes.readUInt32LE(fields.until) - tick) & Number(TICK_MASK)
      return bytes.readUInt32LE(fields.rate) !== 0 && left <= PATIENCE_TICKS
    },
    write(control: Uint8Array): void {
      read().set(control)
      updateEntry(map.fd, encodeIndex(0), section)
    },
    [Symbol.dispose]: () => map.close(),
  }
}

function openMap({ program }: Dataplane, isIt: (name: string) => boolean) {
  for (const id of program.mapIds) {
    const map = openMapById(id)
    if (map !== undefined && isIt(readMapInfo(map.fd).name)) return map
    map?.close()
  }
  return undefined
}

function fail(node: string, bpffs: string): never {
  throw noProgram(node, bpffs)
}

const noProgram = (node: string, bpffs: string): BallastError =>
  new BallastError({
    code: 'TRACE_NO_PROGRAM',
    message: `no program of node ${node} that can be traced is loaded under ${bpffs}`,
    hint: 'Run this on the load balancer, with the names that its worker was started with; restart the worker if it is of an older version.',
  })

const busy = (node: string): BallastError =>
  new BallastError({
    code: 'TRACE_BUSY',
    message: `somebody else traces node ${node}`,
    hint: 'One trace runs at a time; it ends a few seconds after its command does.',
    retryable: true,
  })
