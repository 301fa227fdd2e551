import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi'
import { BallastError } from '../../../../schemas/ballast-error.ts'

/**
 * libbpf 1.x and the few calls of libc beside it, loaded when first asked for: a machine without libbpf
 * runs everything but the XDP driver. Buffers are passed for every `void *`; 64-bit pointers are bigints.
 */
const LIBBPF = [
  'int libbpf_num_possible_cpus()',
  'void *libbpf_set_print(void *print)',
  'int libbpf_probe_bpf_prog_type(int type, const void *opts)',
  'int libbpf_probe_bpf_map_type(int type, const void *opts)',

  'void *bpf_object__open_file(const char *path, const void *opts)',
  'int bpf_object__load(void *object)',
  'void bpf_object__close(void *object)',
  'const void *bpf_object__btf(void *object)',
  'void *bpf_object__find_map_by_name(void *object, const char *name)',
  'void *bpf_object__find_program_by_name(void *object, const char *name)',
  'int bpf_program__fd(void *program)',
  'int bpf_map__fd(void *map)',
  'int bpf_map__reuse_fd(void *map, int fd)',
  'int bpf_map__set_max_entries(void *map, uint32_t entries)',
  'const void *bpf_map__initial_value(void *map, _Out_ size_t *size)',
  'int bpf_map__set_initial_value(void *map, const void *data, size_t size)',

  'void *btf__load_from_kernel_by_id(uint32_t id)',
  'void btf__free(void *btf)',
  'int btf__find_by_name_kind(void *btf, const char *name, uint32_t kind)',
  'const void *btf__type_by_id(void *btf, uint32_t id)',
  'const char *btf__name_by_offset(void *btf, uint32_t offset)',

  'int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries, const void *opts)',
  'int bpf_map_lookup_elem(int fd, const void *key, void *value)',
  'int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)',
  'int bpf_map_delete_elem(int fd, const void *key)',
  'int bpf_map_get_next_key(int fd, const void *key, void *next)',
  'int bpf_map_lookup_batch(int fd, void *from, void *to, void *keys, void *values, void *count, const void *opts)',
  'int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *opts)',
  'int bpf_map_delete_batch(int fd, const void *keys, void *count, const void *opts)',
  'int bpf_map_freeze(int fd)',
  'int bpf_map_get_fd_by_id(uint32_t id)',
  'int bpf_prog_get_fd_by_id(uint32_t id)',
  'int bpf_prog_bind_map(int program, int map, const void *opts)',
  'int bpf_prog_test_run_opts(int fd, void *opts)',
  'int bpf_obj_get_info_by_fd(int fd, void *info, void *length)',
  'int bpf_obj_pin(int fd, const char *path)',
  'int bpf_obj_get(const char *path)',
  'int bpf_link_create(int program, int target, int attach_type, const void *opts)',
  'int bpf_link_update(int link, int program, const void *opts)',
  'int bpf_link_detach(int link)',
  'int bpf_xdp_query(int ifindex, int flags, void *opts)',

  'void *ring_buffer__new(int fd, void *sample, void *context, const void *opts)',
  'int ring_buffer__consume(void *ring)',
  'void ring_buffer__free(void *ring)',
] as const

const LIBC = [
  'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
  'int munmap(void *address, size_t length)',
  'unsigned int if_nametoindex(const char *name)',
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  'int umount2(const char *target, int flags)',
  'int socket(int domain, int type, int protocol)',
  'int bind(int fd, const void *address, uint32_t length)',
  'long send(int fd, const void *data, size_t size, int flags)',
  'long recv(int fd, void *data, size_t size, int flags)',
  'int ioctl(int fd, unsigned long request, void *argument)',
  'int sched_getaffinity(int pid, size_t size, void *mask)',
  'int sched_setaffinity(int pid, size_t size, const void *mask)',
  'long syscall(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)',
  'int vsnprintf(void *text, size_t size, const void *format, void *arguments)',
] as const

type NameOf<Prototype extends string> = Prototype extends `${string}(${string}`
  ? LastWord<Prototype extends `${infer Head}(${string}` ? Head : never>
  : never
type LastWord<Text extends string> = Text extends `${string} ${infer Rest}` ? LastWord<Rest> : Bare<Text>
type Bare<Text extends string> = Text extends `*${infer Rest}` ? Rest : Text

type Calls<Prototypes extends readonly string[]> = {
  readonly [P in Prototypes[number] as NameOf<P>]: KoffiFunc<
    // biome-ignore lint/suspicious/noExplicitAny: what a C function gives is typed where it is wrapped
    (...args: unknown[]) => any
  >
}

export type Libbpf = Calls<typeof LIBBPF>
export type Libc = Calls<typeof LIBC>

let libbpf: Libbpf | undefined
let libc: Libc | undefined

/** Throws `LIBBPF_MISSING` where there is no libbpf 1.x. */
export function loadLibbpf(): Libbpf {
  libbpf ??= bind(openLibbpf(), LIBBPF)
  return libbpf
}

export function loadLibc(): Libc {
  libc ??= bind(koffi.load(null), LIBC)
  return libc
}

/**
 * Runs a call that may wait (for readers of a map, for the verifier) on another thread. koffi holds no reference to what
 * it is given: the callback's scope keeps `args`, and so their memory, until the call is done.
 */
export function callAside<Result>(call: KoffiFunc<(...args: unknown[]) => Result>, ...args: unknown[]) {
  return new Promise<Result>((resolve, reject) => {
    call.async(...args, (error: unknown, result: Result) => (error ? reject(error) : resolve(result)))
  })
}

export type Print = (level: number, format: bigint, args: bigint) => number

/**
 * A function pointer of type `libbpf_print_fn_t`. A `va_list` is passed on as the pointer that it is, or
 * decays to.
 */
export function registerPrint(print: Print): bigint {
  return koffi.register(print, koffi.pointer(koffi.proto('int (int level, const void *format, void *args)')))
}

/** A function pointer of type `ring_buffer_sample_fn`, until `unregister`. The data are the kernel's: copy them. */
export function registerSample(sample: (context: bigint, data: bigint, size: number) => number): bigint {
  const type = koffi.proto('int (void *context, void *data, size_t size)')
  return koffi.register(sample, koffi.pointer(type))
}

export const unregister = (pointer: bigint): void => koffi.unregister(pointer)

export const addressOf = (bytes: Uint8Array): bigint => koffi.address(bytes)

/** Memory of someone else, seen without a copy: never touch it after it is gone. */
export const viewOf = (pointer: bigint, length: number): ArrayBuffer => koffi.view(pointer, length)

export const lastErrno = (): number => koffi.errno()

function bind<Prototypes extends readonly string[]>(
  library: LibraryHandle,
  prototypes: Prototypes,
): Calls<Prototypes> {
  const calls = prototypes.map(prototype => {
    const call = library.func(prototype)
    return [call.info.name, call]
  })
  return Object.fromEntries(calls)
}

function openLibbpf(): LibraryHandle {
  try {
    return koffi.load('libbpf.so.1')
  } catch (cause) {
    throw new BallastError({
      code: 'LIBBPF_MISSING',
      message: 'libbpf.so.1 cannot be loaded, and the XDP driver works through it',
      hint: 'Install libbpf 1.x, on Debian: apt-get install libbpf1',
      cause,
    })
  }
}
