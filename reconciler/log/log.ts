import { type Logger, pino, stdSerializers } from 'pino'
import { BallastError } from '../../schemas/ballast-error.ts'
import { formatLine } from './format-line.ts'

/** `log.info({node, generation}, 'new want')`; an error goes in as `err`. */
export type Log = Logger

export interface LogDestination {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface LogOptions {
  readonly level: 'silent' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
  /** `text`: one short line per event, for people. `json`: pino's lines, for programs. */
  readonly format: 'text' | 'json'
  readonly destination: LogDestination
  /** Colours are for terminals, and never when this is set to anything (no-color.org). */
  readonly noColor?: string | undefined
}

export function createLog(options: LogOptions): Log {
  const { level, format, destination } = options
  const settings = { level, serializers: { err: serializeError } }
  if (format === 'json') return pino({ ...settings, formatters: { level: levelName } }, destination)

  const color = destination.isTTY === true && !(options.noColor ?? process.env.NO_COLOR)
  const lines = { write: (line: string) => destination.write(formatLine(line, color)) }
  return pino({ ...settings, base: null, formatters: { level: levelName } }, lines)
}

/** For whoever was given no log. */
export const silentLog = (): Log => pino({ level: 'silent' })

const levelName = (label: string): { level: string } => ({ level: label })

/** What a person needs of a `BallastError` is its code, message and hint; of any other error the stack. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof BallastError)) return error instanceof Error ? stdSerializers.err(error) : error
  const { code, message, hint, retryable, cause } = error
  return { code, message, hint, retryable, ...(cause instanceof Error && { cause: cause.message }) }
}
