import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import { BallastError } from '../../../../schemas/ballast-error.ts'

export const ENOENT = 2
export const EBUSY = 16
export const EEXIST = 17
export const ENODEV = 19
export const EOPNOTSUPP = 95
/** The kernel's own; no C library knows it. */
export const ENOTSUPP = 524

/** libbpf's own, from 4000 on. */
const LIBBPF_ERRNOS = [
  ['LIBELF', 'libelf failed'],
  ['FORMAT', 'no valid BPF object'],
  ['KVERSION', 'a wrong kernel version'],
  ['ENDIAN', 'another byte order'],
  ['INTERNAL', 'an internal error of libbpf'],
  ['RELOC', 'relocation failed'],
  ['LOAD', 'loading failed'],
  ['VERIFY', 'the verifier refuses the program'],
  ['PROG2BIG', 'the program is too large'],
  ['KVER', 'a wrong kernel version'],
  ['PROGTYPE', 'the kernel does not know this type of program'],
  ['WRNGPID', 'a wrong process'],
  ['INVSEQ', 'a wrong sequence'],
  ['NLPARSE', 'an answer of netlink cannot be read'],
] as const

const HINTS: Readonly<Record<string, string>> = {
  EPERM: 'Run as root, or with CAP_SYS_ADMIN, which opening maps by their ids needs.',
  EACCES: 'The verifier refuses the program, or a security module the call; the log says which.',
  ENOMEM: 'The kernel has no memory for it; below Linux 5.11 raise the limit of locked memory (ulimit -l).',
  E2BIG: 'A map is full, or the program is too large; look at capacity in the node manifest.',
  EBUSY: 'Something else holds it; `bpftool net` and `bpftool link` show what.',
  ENOENT: 'It is gone; somebody may be removing pins. The next run makes it again.',
  EMFILE: 'Raise the limit of open files (ulimit -n, LimitNOFILE=).',
}

const RETRYABLE = new Set(['EAGAIN', 'EINTR', 'ENOMEM', 'EBUSY', 'ENOENT', 'EMFILE'])

export function errnoName(errno: number): string {
  if (errno === ENOTSUPP) return 'ENOTSUPP'
  if (errno === EOPNOTSUPP) return 'EOPNOTSUPP'
  const own = LIBBPF_ERRNOS[errno - 4000]
  return own === undefined ? getSystemErrorName(-errno) : `LIBBPF_${own[0]}`
}

function errnoText(errno: number): string {
  if (errno === ENOTSUPP) return 'operation not supported'
  return LIBBPF_ERRNOS[errno - 4000]?.[1] ?? getSystemErrorMessage(-errno)!
}

/** What went wrong in the kernel or libbpf, with code `BPF_<errno>`, for instance `BPF_EPERM`. */
export function bpfFault(what: string, errno: number, log = ''): BallastError {
  const name = errnoName(errno)
  return new BallastError({
    code: `BPF_${name}`,
    message: `${what}: ${name}, ${errnoText(errno)}${log === '' ? '' : `\n${log}`}`,
    hint: HINTS[name] ?? 'The kernel refused the call; `dmesg` may say more.',
    retryable: RETRYABLE.has(name),
  })
}

/** Gives back what is not negative; throws on a negative errno, as libbpf 1.x returns them. */
export function checked(what: string, result: number): number {
  if (result < 0) throw bpfFault(what, -result)
  return result
}
