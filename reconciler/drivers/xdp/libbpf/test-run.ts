import { checked } from './errno.ts'
import { addressOf, loadLibbpf } from './native.ts'

const ROOM = 65536

export interface TestRun {
  /** What the program returned, for XDP an action. */
  readonly result: number
  /** The packet afterwards. */
  readonly packet: Buffer
  /** Of one run, ns. */
  readonly duration: number
}

/**
 * Gives one packet, from its Ethernet header on, to a program. `repeat` runs see what the run before left.
 * `context` is the `struct xdp_md` to begin with, for instance to name an ingress interface.
 */
export function runProgram(
  programFd: number,
  packet: Uint8Array,
  { repeat = 1, context }: { repeat?: number; context?: Uint8Array } = {},
): TestRun {
  const out = Buffer.alloc(ROOM)
  const opts = Buffer.alloc(80)
  opts.writeBigUInt64LE(80n, 0)
  opts.writeBigUInt64LE(addressOf(packet), 8)
  opts.writeBigUInt64LE(addressOf(out), 16)
  opts.writeUInt32LE(packet.length, 24)
  opts.writeUInt32LE(out.length, 28)
  if (context !== undefined) {
    opts.writeBigUInt64LE(addressOf(context), 32)
    opts.writeUInt32LE(context.length, 48)
  }
  opts.writeInt32LE(repeat, 60)
  checked('running a program', loadLibbpf().bpf_prog_test_run_opts(programFd, opts))
  return {
    result: opts.readUInt32LE(56),
    packet: out.subarray(0, opts.readUInt32LE(28)),
    duration: opts.readUInt32LE(64),
  }
}
