import { loadLibbpf, viewOf } from './native.ts'

const KIND_VAR = 14
const KIND_DATASEC = 15
/** `struct btf_type`, then one `struct btf_var_secinfo` per variable. */
const TYPE_BYTES = 12
const SECINFO_BYTES = 12

/** Where a variable lies in its section. */
export interface VariablePlace {
  readonly offset: number
  readonly size: number
}

/** A global variable's place by the BTF of an object or a loaded program; undefined when there is none. */
export function findVariable(btf: bigint, section: string, name: string): VariablePlace | undefined {
  const libbpf = loadLibbpf()
  const variable: number = libbpf.btf__find_by_name_kind(btf, name, KIND_VAR)
  const datasec: number = libbpf.btf__find_by_name_kind(btf, section, KIND_DATASEC)
  if (variable < 0 || datasec < 0) return undefined
  const type: bigint = libbpf.btf__type_by_id(btf, datasec)
  const count = new DataView(viewOf(type, TYPE_BYTES)).getUint32(4, true) & 0xffff
  const places = new DataView(viewOf(type, TYPE_BYTES + count * SECINFO_BYTES))
  for (let at = TYPE_BYTES; at < places.byteLength; at += SECINFO_BYTES) {
    if (places.getUint32(at, true) !== variable) continue
    return { offset: places.getUint32(at + 4, true), size: places.getUint32(at + 8, true) }
  }
  return undefined
}

/** The same for a program that is loaded, by the id of its BTF (`ProgramInfo.btfId`). */
export function findLoadedVariable(btfId: number, section: string, name: string): VariablePlace | undefined {
  const libbpf = loadLibbpf()
  const btf: bigint | null = libbpf.btf__load_from_kernel_by_id(btfId)
  if (btf === null) return undefined
  try {
    return findVariable(btf, section, name)
  } finally {
    libbpf.btf__free(btf)
  }
}
