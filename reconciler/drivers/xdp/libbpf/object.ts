import { existsSync } from 'node:fs'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import { findVariable } from './btf.ts'
import { bpfFault, checked } from './errno.ts'
import { captureLog, logMark, logSince } from './log.ts'
import { addressOf, callAside, lastErrno, loadLibbpf, viewOf } from './native.ts'

/**
 * A BPF object file, first opened, then loaded. Its maps and programs live as long as something holds them.
 */
export interface BpfObject extends Disposable {
  /** Before `load`. */
  setMaxEntries(map: string, entries: number): void
  /** Before `load`: an existing map in place of a new one. */
  reuseMap(map: string, fd: number): void
  /** Before `load`: a constant of the program, a variable in `.rodata`. */
  setConstant(variable: string, value: Uint8Array): void
  /** Throws with the verifier's log when the kernel refuses it. */
  load(): Promise<void>
  /** Valid until `close`. */
  mapFd(map: string): number
  /** Valid until `close`. */
  programFd(program: string): number
  /** After `load`: makes a map that the program itself does not use one of its maps, which go with it. */
  bindMap(program: string, map: string): void
  close(): void
}

/** `name` is what the kernel shows: maps of variables are `<name>.rodata`, at most 15 characters. */
export function openObject(file: string, name: string): BpfObject {
  if (!existsSync(file)) {
    throw new BallastError({
      code: 'BPF_OBJECT_MISSING',
      message: `there is no BPF object ${file}`,
      hint: 'Build it: make -C bpf (needs clang and the libbpf headers).',
    })
  }
  captureLog()
  const libbpf = loadLibbpf()
  const text = Buffer.from(`${name}\0`)
  const opts = Buffer.alloc(16)
  opts.writeBigUInt64LE(16n, 0)
  opts.writeBigUInt64LE(addressOf(text), 8)
  const mark = logMark()
  let object: bigint | null = libbpf.bpf_object__open_file(file, opts)
  if (object === null) throw bpfFault(`opening ${file}`, lastErrno(), logSince(mark))

  const findMap = (map: string): bigint =>
    libbpf.bpf_object__find_map_by_name(object, map) ?? missing(file, 'map', map)
  const close = () => {
    if (object !== null) libbpf.bpf_object__close(object)
    object = null
  }
  const programFd = (program: string): number => {
    const found: bigint | null = libbpf.bpf_object__find_program_by_name(object, program)
    return checked(`program ${program}`, libbpf.bpf_program__fd(found ?? missing(file, 'program', program)))
  }
  const mapFd = (map: string): number => checked(`map ${map}`, libbpf.bpf_map__fd(findMap(map)))
  return {
    setMaxEntries(map, entries) {
      checked(`sizing map ${map}`, libbpf.bpf_map__set_max_entries(findMap(map), entries))
    },
    reuseMap(map, fd) {
      checked(`reusing map ${map}`, libbpf.bpf_map__reuse_fd(findMap(map), fd))
    },
    setConstant(variable, value) {
      const place = findVariable(libbpf.bpf_object__btf(object), '.rodata', variable)
      if (place === undefined || place.size !== value.length) missing(file, 'constant', variable)
      const section = findMap('.rodata')
      const size = [0]
      const data: bigint = libbpf.bpf_map__initial_value(section, size)
      const copy = new Uint8Array(viewOf(data, Number(size[0]))).slice()
      copy.set(value, place.offset)
      checked('setting constants', libbpf.bpf_map__set_initial_value(section, copy, copy.length))
    },
    async load() {
      const from = logMark()
      const result = await callAside<number>(libbpf.bpf_object__load, object)
      if (result < 0) throw bpfFault(`loading ${file}`, -result, logSince(from))
    },
    mapFd,
    programFd,
    bindMap(program, map) {
      const result: number = libbpf.bpf_prog_bind_map(programFd(program), mapFd(map), null)
      checked(`binding map ${map}`, result)
    },
    close,
    [Symbol.dispose]: close,
  }
}

function missing(file: string, kind: string, name: string): never {
  throw new BallastError({
    code: 'BPF_OBJECT_UNKNOWN',
    message: `${file} has no ${kind} ${name} of the size that this version works with`,
    hint: 'Build the object again from the same version: make -C bpf',
  })
}
