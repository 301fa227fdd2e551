import { BallastError } from '../../../../schemas/ballast-error.ts'

/**
 * BIRD's answer to one command. Every line has a code of four digits: 0xxx done, 1xxx data, 2xxx headings, 8xxx and
 * 9xxx errors of configuration and of the command.
 */
export interface Reply {
  readonly lines: readonly ReplyLine[]
  /** That of the last line, which ends the answer. */
  readonly code: number
  /** The text of the last line. */
  readonly text: string
}

export interface ReplyLine {
  readonly code: number
  readonly text: string
}

export const isError = ({ code }: Reply): boolean => code >= 8000

/** The texts of the lines that have this code. */
export const textsOf = ({ lines }: Reply, code: number): string[] =>
  lines.filter(line => line.code === code).map(({ text }) => text)

interface Read {
  readonly replies: readonly Reply[]
  readonly spontaneous: readonly string[]
}

/**
 * Takes what comes from the socket, in whatever pieces. A line is `CCCC-text` or, the last of an answer,
 * `CCCC text`; a line that starts with a space repeats the code before it; `+text` was not asked for. Throws
 * `BGP_REPLY_UNREADABLE` on anything else.
 */
export function createReplyReader(): { read(text: string): Read } {
  let rest = ''
  let lines: ReplyLine[] = []

  function take(line: string, replies: Reply[], spontaneous: string[]): void {
    if (line.startsWith('+')) {
      spontaneous.push(line.slice(1))
      return
    }
    const [, digits, separator, text = ''] = /^(\d{4})([ -])(.*)$/s.exec(line) ?? []
    if (digits !== undefined) {
      lines.push({ code: Number(digits), text })
      if (separator === '-') return
      replies.push({ lines, code: Number(digits), text })
      lines = []
      return
    }
    const last = lines.at(-1)
    if (!line.startsWith(' ') || last === undefined) throw unreadable(`the line ${JSON.stringify(line)}`)
    lines.push({ code: last.code, text: line.slice(1) })
  }

  return {
    read(text) {
      const whole = (rest + text).split('\n')
      rest = whole.pop()!
      const replies: Reply[] = []
      const spontaneous: string[] = []
      for (const line of whole) take(line, replies, spontaneous)
      return { replies, spontaneous }
    },
  }
}

export const unreadable = (what: string): BallastError =>
  new BallastError({
    code: 'BGP_REPLY_UNREADABLE',
    message: `BIRD said what is not understood: ${what}`,
    hint: 'This version of BIRD may be too new or too old; BIRD 2.0.12 is known to work.',
  })
