import { loadLibbpf, loadLibc, registerPrint } from './native.ts'

const DEBUG = 2
const KEPT_LINES = 4000
const SHOWN_CHARACTERS = 4000
/** The longest log that libbpf asks the verifier for. */
const LONGEST_TEXT = 16 << 20

const lines: string[] = []
let dropped = 0
let captured = false

/** From now on libbpf says what it has to say here, not on stderr. */
export function captureLog(): void {
  if (captured) return
  captured = true
  loadLibbpf().libbpf_set_print(registerPrint(print))
}

/** A point in the log, for `logSince`. */
export const logMark = (): number => dropped + lines.length

/** What libbpf and the verifier said since a mark; of a long text the end, which has the reason. */
export function logSince(mark: number): string {
  const text = lines
    .slice(Math.max(0, mark - dropped))
    .join('')
    .trim()
  return text.length <= SHOWN_CHARACTERS ? text : `[...]\n${text.slice(-SHOWN_CHARACTERS)}`
}

function print(level: number, format: bigint, args: bigint): number {
  if (level >= DEBUG) return 0
  const text = Buffer.allocUnsafe(LONGEST_TEXT)
  const length = loadLibc().vsnprintf(text, text.length, format, args)
  lines.push(text.toString('utf8', 0, Math.min(length, text.length - 1)))
  if (lines.length > KEPT_LINES) dropped += lines.splice(0, KEPT_LINES / 2).length
  return length
}
