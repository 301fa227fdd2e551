import { bpfFault, checked } from './errno.ts'
import { lastErrno, loadLibbpf, registerSample, unregister, viewOf } from './native.ts'

/** The user's end of a BPF ring buffer. */
export interface RingBuffer extends Disposable {
  /** Gives what has come since the last call to `take`, a copy each. */
  drain(): void
}

export function openRingBuffer(fd: number, take: (sample: Buffer) => void): RingBuffer {
  const libbpf = loadLibbpf()
  const sample = registerSample((_, data, size) => {
    take(Buffer.from(viewOf(data, Number(size)).slice(0)))
    return 0
  })
  const ring: bigint | null = libbpf.ring_buffer__new(fd, sample, null, null)
  if (ring === null) {
    unregister(sample)
    throw bpfFault('opening a ring buffer', lastErrno())
  }
  return {
    drain: () => void checked('reading a ring buffer', libbpf.ring_buffer__consume(ring)),
    [Symbol.dispose]() {
      libbpf.ring_buffer__free(ring)
      unregister(sample)
    },
  }
}
