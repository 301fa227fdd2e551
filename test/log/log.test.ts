import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { createLog, type LogOptions } from '../../reconciler/log/log.ts'
import { BallastError } from '../../schemas/ballast-error.ts'

function capture(options: Partial<LogOptions> & { isTTY?: boolean }) {
  const lines: string[] = []
  const destination = { isTTY: options.isTTY ?? false, write: (text: string) => lines.push(text) }
  const log = createLog({ level: 'info', format: 'text', noColor: '', ...options, destination })
  return { log, lines }
}

const unreachable = new BallastError({
  code: 'REDIS_UNREACHABLE',
  message: 'Redis does not answer',
  hint: 'Start it.',
  cause: new Error('connect ENOENT'),
})

suite('text for people', () => {
  test('is one line per event: time, level, what, and the fields', () => {
    const { log, lines } = capture({})
    log.info({ node: 'lb1', generation: 7, outcome: null }, 'new want')
    assert.equal(lines.length, 1)
    assert.match(
      lines[0] ?? '',
      /^\d\d:\d\d:\d\d\.\d{3} info {2}new want node=lb1 generation=7 outcome=null\n$/,
    )
  })

  test('quotes a value with spaces and shows control characters instead of sending them', () => {
    const { log, lines } = capture({})
    log.info({ subject: 'web: \u001b[31mred\u0007\u202e\nline two' }, 'accepted\r\u001b]0;x\u0007')
    const line = lines[0] ?? ''
    assert.match(line, / subject="web: /)
    assert.doesNotMatch(line.trimEnd(), /\p{C}/u)
    assert.equal(line.split('\n').length, 2, 'one line, whatever a value holds')
  })

  test('gives an error by code, message, cause and hint', () => {
    const { log, lines } = capture({})
    log.warn({ err: unreachable }, 'no want could be read')
    const said = 'error=REDIS_UNREACHABLE Redis does not answer (connect ENOENT) → Start it.'
    assert.ok(lines[0]?.endsWith(`no want could be read ${said}\n`), lines[0])
  })

  test('gives the places of an error that nobody expected', () => {
    const { log, lines } = capture({})
    log.error({ err: new TypeError('x is not a function') }, 'could not look at the node')
    assert.match(lines[0] ?? '', /error=x is not a function at .*log\.test\.ts:\d+/)
  })

  test('is coloured on a terminal, and never with NO_COLOR', () => {
    const csi = '\u001b['
    const written = (options: Parameters<typeof capture>[0]): string => {
      const { log, lines } = capture(options)
      log.info('hello')
      return lines.join('')
    }
    assert.ok(written({ isTTY: true }).includes(csi))
    assert.ok(!written({ isTTY: true, noColor: '1' }).includes(csi))
    assert.ok(!written({ isTTY: false }).includes(csi))
  })

  test('leaves out what is below its level', () => {
    const { log, lines } = capture({ level: 'warn' })
    log.info('quiet')
    log.warn('loud')
    assert.equal(lines.length, 1)
  })
})

suite('json for programs', () => {
  test('is one object per line, the level by its name, errors with code and hint', () => {
    const { log, lines } = capture({ format: 'json', isTTY: true })
    log.error({ err: unreachable, node: 'lb1' }, 'gone')
    const { time, pid, hostname, ...event } = JSON.parse(lines[0] ?? '')
    assert.deepEqual(event, {
      level: 'error',
      msg: 'gone',
      node: 'lb1',
      err: {
        code: 'REDIS_UNREACHABLE',
        message: 'Redis does not answer',
        hint: 'Start it.',
        retryable: false,
        cause: 'connect ENOENT',
      },
    })
    assert.ok(Number.isInteger(time) && Number.isInteger(pid) && typeof hostname === 'string')
  })
})
