import { Descriptor } from './descriptor.ts'
import { bpfFault } from './errno.ts'
import { lastErrno, loadLibc } from './native.ts'

/** What messages of every netlink family have in common (netlink(7)), in the byte order of the host, which is little-endian. */

export const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0x80000
/** Of a message: length (32 bits), type (16), flags (16), sequence number (32), port (32). */
export const HEADER_BYTES = 16
/** For one answer of the kernel. */
export const ANSWER_BYTES = 65536

/** Attributes by type; of the same type the last one. */
export type Attributes = ReadonlyMap<number, Buffer>

/** In this network namespace. Throws `BPF_*`. */
export function openNetlink(protocol: number): Descriptor {
  const fd = Number(loadLibc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol))
  if (fd < 0) throw bpfFault('opening a netlink socket', lastErrno())
  return new Descriptor(fd)
}

/** Null when they are malformed. */
export function readAttributes(bytes: Buffer): Attributes | null {
  const attributes = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt16LE(at)
    if (size < 4) return null
    attributes.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + size))
    at += align(size)
  }
  return attributes
}

/** To four bytes. */
export const align = (size: number): number => (size + 3) & ~3
