import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const LEVEL_STYLE: Readonly<Record<string, Style>> = {
  fatal: 'red',
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'dim',
  trace: 'dim',
}

/**
 * One of pino's JSON lines as one line for people, in local time:
 * `12:03:44.123 warn  refused an older want offered=7 have=9`.
 *
 * What a value says can come from a commit or a manifest of anybody, so control characters are shown and
 * never sent to the terminal. What is not JSON is passed on as it is.
 */
export function formatLine(line: string, color: boolean): string {
  const event = parse(line)
  if (event === null) return line
  const paint = (style: Style, text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text

  const { time, level, msg, err, ...fields } = event
  const name = String(level)
  const words = [
    paint('dim', clock(Number(time))),
    paint(LEVEL_STYLE[name] ?? 'green', name.padEnd(5)),
    visible(String(msg ?? '')),
    ...Object.entries(fields).map(([key, value]) => `${paint('dim', `${key}=`)}${plain(value)}`),
    ...(err === undefined ? [] : [`${paint('dim', 'error=')}${describeError(err)}`]),
  ]
  return `${words.filter(word => word !== '').join(' ')}\n`
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function clock(time: number): string {
  const at = new Date(time)
  const two = (part: number): string => String(part).padStart(2, '0')
  const ms = String(at.getMilliseconds()).padStart(3, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`
}

/** A word as it is, anything else as JSON. */
const plain = (value: unknown): string =>
  typeof value === 'string' && /^[^\s"=\p{C}]+$/u.test(value) ? value : visible(JSON.stringify(value))

/** Errors of ours by code and hint; others (a fault in the program) with the first places of their stack. */
function describeError(error: unknown): string {
  if (typeof error !== 'object' || error === null) return plain(error)
  const { code, message, hint, cause, stack } = error as Record<string, unknown>
  const parts = [
    code === undefined ? '' : String(code),
    String(message ?? ''),
    cause === undefined ? '' : `(${String(cause)})`,
    hint === undefined ? '' : `→ ${String(hint)}`,
    hint === undefined && typeof stack === 'string' ? places(stack) : '',
  ]
  return visible(parts.filter(part => part !== '').join(' '))
}

const places = (stack: string): string =>
  stack
    .split('\n')
    .filter(line => line.trimStart().startsWith('at '))
    .slice(0, 3)
    .map(line => line.trim())
    .join(' ')

/** Control, format and unassigned characters, line ends among them, as `\u{1b}`. */
const visible = (text: string): string =>
  text.replaceAll(/\p{C}/gu, character => `\\u{${character.codePointAt(0)?.toString(16)}}`)
