import { bpfFault } from './libbpf/errno.ts'
import { lastErrno, loadLibc, viewOf } from './libbpf/native.ts'

const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1

/**
 * Runs `use` on a map's memory (of a `BPF_F_MMAPABLE` array) and takes it away again afterwards: nothing
 * of the view may leave `use`.
 */
export async function withMapped<Result>(
  fd: number,
  { bytes, writable = false }: { bytes: number; writable?: boolean },
  use: (memory: ArrayBuffer) => Promise<Result> | Result,
): Promise<Result> {
  const libc = loadLibc()
  const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
  const pointer: bigint = libc.mmap(null, bytes, protection, MAP_SHARED, fd, 0)
  if (BigInt.asIntN(64, pointer) === -1n) throw bpfFault('mapping a map to memory', lastErrno())
  try {
    return await use(viewOf(pointer, bytes))
  } finally {
    libc.munmap(pointer, bytes)
  }
}

/**
 * Of an interface in the network namespace of this process (which /sys need not be of); 0 when there is none.
 */
export const interfaceIndex = (name: string): number => loadLibc().if_nametoindex(name)
