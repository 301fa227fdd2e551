import { readFileSync } from 'node:fs'
import { Descriptor } from './descriptor.ts'
import { bpfFault, checked, ENOENT } from './errno.ts'
import { addressOf, loadLibbpf } from './native.ts'

/** Larger than any kernel's structure: the kernel fills what it knows and refuses only a non-zero rest. */
const INFO_BYTES = 512

export interface MapInfo {
  readonly id: number
  readonly type: number
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

export interface ProgramInfo {
  readonly id: number
  readonly type: number
  readonly name: string
  /** 16 hex digits: a hash of the instructions, the same for the same code. */
  readonly tag: string
  readonly btfId: number
  readonly mapIds: readonly number[]
}

export interface LinkInfo {
  readonly id: number
  readonly type: number
  readonly programId: number
  /** Of the interface; 0 once the interface is gone. */
  readonly ifindex: number
}

export function readMapInfo(fd: number): MapInfo {
  const info = readInfo(fd, blank(), 'a map')
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
    name: nameAt(info, 24),
  }
}

export function readProgramInfo(fd: number): ProgramInfo {
  const count = readInfo(fd, blank(), 'a program').readUInt32LE(52)
  const ids = Buffer.alloc(4 * count)
  const request = blank()
  request.writeUInt32LE(count, 52)
  request.writeBigUInt64LE(count === 0 ? 0n : addressOf(ids), 56)
  const info = readInfo(fd, request, 'a program')
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    tag: info.toString('hex', 8, 16),
    name: nameAt(info, 64),
    btfId: info.readUInt32LE(128),
    mapIds: Array.from({ length: count }, (_, i) => ids.readUInt32LE(4 * i)),
  }
}

export function readLinkInfo(fd: number): LinkInfo {
  const info = readInfo(fd, blank(), 'a link')
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    programId: info.readUInt32LE(8),
    ifindex: info.readUInt32LE(16),
  }
}

/** Whether user space can no longer write the map; only procfs tells. */
export const isFrozen = (fd: number): boolean =>
  /^frozen:\s+1$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))

/** Undefined when there is no such map. */
export const openMapById = (id: number): Descriptor | undefined =>
  opened(loadLibbpf().bpf_map_get_fd_by_id(id), `opening map ${id}`)

/** Undefined when there is no such program. */
export const openProgramById = (id: number): Descriptor | undefined =>
  opened(loadLibbpf().bpf_prog_get_fd_by_id(id), `opening program ${id}`)

export function opened(fd: number, what: string): Descriptor | undefined {
  if (fd === -ENOENT) return undefined
  if (fd < 0) throw bpfFault(what, -fd)
  return new Descriptor(fd)
}

/** Of all who ask: twenty new ones at every look would be a good part of it. */
const scratch = Buffer.alloc(INFO_BYTES)
const length = Buffer.alloc(4)

/** To be filled and read before the next one is asked for. What the kernel does not fill, it may take for a question. */
const blank = (): Buffer => scratch.fill(0)

function readInfo(fd: number, info: Buffer, what: string): Buffer {
  length.writeUInt32LE(info.length)
  checked(`reading about ${what}`, loadLibbpf().bpf_obj_get_info_by_fd(fd, info, length))
  return info
}

function nameAt(info: Buffer, offset: number): string {
  const name = info.subarray(offset, offset + 16)
  return name.toString('utf8', 0, name.indexOf(0))
}
