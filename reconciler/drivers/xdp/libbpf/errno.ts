import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import { BallastError } from '../../../../schemas/ballast-error.ts'

export const ENOENT = 2
export const EBUSY = 16
export const EEXIST = 17
export const ENODEV = 19
export const EOPNOTSUPP = 95
/** The kernel's own; no C library knows it. */
export const ENOTSUPP = 524

const HINTS: Readonly<Record<string, string>> = {
  EPERM: 'Run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.',
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
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `E${errno}`
  }
}

/** What went wrong in the kernel or libbpf, with code `BPF_<errno>`, for instance `BPF_EPERM`. */
export function bpfFault(what: string, errno: number, log = ''): BallastError {
  const name = errnoName(errno)
  const text = errno === ENOTSUPP ? 'operation not supported' : getSystemErrorMessage(-errno)
  return new BallastError({
    code: `BPF_${name}`,
    message: `${what}: ${name}, ${text}${log === '' ? '' : `\n${log}`}`,
    hint: HINTS[name] ?? 'The kernel refused the call; `dmesg` may say more.',
    retryable: RETRYABLE.has(name),
  })
}

/** Gives back what is not negative; throws on a negative errno, as libbpf 1.x returns them. */
export function checked(what: string, result: number): number {
  if (result < 0) throw bpfFault(what, -result)
  return result
}
