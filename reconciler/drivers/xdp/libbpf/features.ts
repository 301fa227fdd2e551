import { release } from 'node:os'
import { MapType } from './maps.ts'
import { loadLibbpf } from './native.ts'

const OLDEST_KERNEL = [5, 15] as const
const PROGRAM_TYPE_XDP = 6

/** Why the XDP driver cannot work on this machine, in words and with the way out; '' when it can. */
export function findMissingFeature(kernel = release()): string {
  if (!isAtLeast(kernel, OLDEST_KERNEL)) {
    return `Linux ${kernel} is too old: the XDP driver needs ${OLDEST_KERNEL.join('.')} or newer.`
  }
  const libbpf = loadLibbpf()
  if (libbpf.libbpf_probe_bpf_prog_type(PROGRAM_TYPE_XDP, null) !== 1) {
    return 'The kernel takes no XDP program from this process: run as root, or with CAP_BPF and CAP_NET_ADMIN.'
  }
  if (libbpf.libbpf_probe_bpf_map_type(MapType.arrayOfMaps, null) !== 1) {
    return 'The kernel gives this process no array of maps: run as root, or with CAP_BPF.'
  }
  return ''
}

export const countPossibleCpus = (): number => loadLibbpf().libbpf_num_possible_cpus()

function isAtLeast(kernel: string, [major, minor]: readonly [number, number]): boolean {
  const [, a = '0', b = '0'] = /^(\d+)\.(\d+)/.exec(kernel) ?? []
  return Number(a) > major || (Number(a) === major && Number(b) >= minor)
}
