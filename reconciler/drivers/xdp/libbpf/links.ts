import { Descriptor } from './descriptor.ts'
import { bpfFault, checked, ENODEV } from './errno.ts'
import { loadLibbpf } from './native.ts'

const BPF_XDP = 37
export const LINK_TYPE_XDP = 6
const MODE_FLAGS = { generic: 1 << 1, native: 1 << 2 } as const
/** `XDP_ATTACHED_*`. */
const ATTACHED = ['none', 'native', 'generic', 'offloaded', 'multiple'] as const

export type XdpMode = keyof typeof MODE_FLAGS

/** What is attached to an interface, by whatever means. */
export interface XdpAttachment {
  readonly mode: (typeof ATTACHED)[number]
  /** 0 when nothing is. */
  readonly programId: number
}

/** Attaches a program to an interface until the link is closed and unpinned, or the errno of the refusal. */
export function attachXdp(programFd: number, ifindex: number, mode: XdpMode): Descriptor | number {
  const opts = Buffer.alloc(16)
  opts.writeBigUInt64LE(16n, 0)
  opts.writeUInt32LE(MODE_FLAGS[mode], 8)
  const fd: number = loadLibbpf().bpf_link_create(programFd, ifindex, BPF_XDP, opts)
  return fd < 0 ? -fd : new Descriptor(fd)
}

/** Puts another program in place of a link's, between two packets. */
export function updateLink(linkFd: number, programFd: number): void {
  checked('replacing the program of a link', loadLibbpf().bpf_link_update(linkFd, programFd, null))
}

/** Detaches at once, whoever else holds the link. */
export function detachLink(linkFd: number): void {
  checked('detaching a link', loadLibbpf().bpf_link_detach(linkFd))
}

/** Nothing is attached to an interface that is gone. */
export function queryXdp(ifindex: number): XdpAttachment {
  const opts = Buffer.alloc(32)
  opts.writeBigUInt64LE(32n, 0)
  const result: number = loadLibbpf().bpf_xdp_query(ifindex, 0, opts)
  if (result === -ENODEV) return { mode: 'none', programId: 0 }
  if (result < 0) throw bpfFault(`asking what is attached to interface ${ifindex}`, -result)
  return { mode: ATTACHED[opts.readUInt8(24)] ?? 'none', programId: opts.readUInt32LE(8) }
}
