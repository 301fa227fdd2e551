import { mkdirSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import type { Descriptor } from './descriptor.ts'
import { bpfFault, checked } from './errno.ts'
import { opened } from './info.ts'
import { lastErrno, loadLibbpf, loadLibc } from './native.ts'

const BPF_FS_MAGIC = 0xcafe4a11
const MNT_DETACH = 2
/** No name of anything: it would be that of `..`. */
const ASIDE = '::'

/**
 * A BPF file system refuses names with a dot. Interface and node names may have one and can have no colon, so
 * a colon stands for it: `link/eth0:100`.
 */
export const pinName = (name: string): string => name.replaceAll('.', ':')
export const nameOfPin = (pin: string): string => pin.replaceAll(':', '.')

export function isBpfFileSystem(directory: string): boolean {
  try {
    return statfsSync(directory).type === BPF_FS_MAGIC
  } catch {
    return false
  }
}

/** Makes the directory and mounts a BPF file system there, unless there is one. */
export function mountBpfFileSystem(directory: string): void {
  if (isBpfFileSystem(directory)) return
  mkdirSync(directory, { recursive: true })
  if (loadLibc().mount('bpf', directory, 'bpf', 0, 'mode=0700') === 0) return
  throw new BallastError({
    code: 'BPFFS_NOT_MOUNTED',
    message: `${directory} is no BPF file system, and none could be mounted there`,
    hint: `As root: mount -t bpf bpf ${directory}`,
    cause: bpfFault('mount', lastErrno()),
  })
}

export const unmountFileSystem = (directory: string): void => {
  loadLibc().umount2(directory, MNT_DETACH)
}

/** Pins an object where nothing is pinned. */
export function pinObject(fd: number, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  checked(`pinning ${path}`, loadLibbpf().bpf_obj_pin(fd, path))
}

/** Pins an object, in one step in place of what may be pinned there. */
export function repinObject(fd: number, path: string): void {
  const aside = join(dirname(path), ASIDE)
  unpin(aside)
  pinObject(fd, aside)
  renameSync(aside, path)
}

/** Undefined when nothing is pinned there. */
export const openPin = (path: string): Descriptor | undefined =>
  opened(loadLibbpf().bpf_obj_get(path), `opening ${path}`)

export const unpin = (path: string): void => rmSync(path, { force: true })

/** Names in a directory of pins; none when there is no directory. */
export function listPins(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter(name => name !== ASIDE)
      .sort()
  } catch {
    return []
  }
}

/** When something was pinned there, or let go of, last, ms since the epoch; 0: there is no such directory. */
export const pinsChangedAt = (directory: string): number =>
  statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Lets go of everything pinned in a directory and below. */
export function unpinAll(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
}
