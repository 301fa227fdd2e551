import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { renderDiagnostic, sortDiagnostics } from '../../reconciler/manifest/render-diagnostic.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'

const diagnostic = (
  file: string,
  line: number,
  column: number,
  rest: Partial<Diagnostic> = {},
): Diagnostic => ({
  rule: 'vip-unique',
  severity: 'error',
  message: '203.0.113.10:443/tcp is also claimed by api at api.yaml:5.',
  hint: 'Give one of them another port.',
  at: { file, line, column },
  ...rest,
})

test('a diagnostic is one line: place, severity, rule, what, and how to mend it', () => {
  assert.equal(
    renderDiagnostic(diagnostic('manifests/services/web.yaml', 7, 9)),
    'manifests/services/web.yaml:7:9 error vip-unique: 203.0.113.10:443/tcp is also claimed by api at api.yaml:5. Give one of them another port.',
  )
})

test('colours are there when asked for, whatever the terminal, and change no word', () => {
  const plain = renderDiagnostic(diagnostic('web.yaml', 7, 9))
  const painted = renderDiagnostic(diagnostic('web.yaml', 7, 9), { color: true })
  assert.notEqual(painted, plain)
  assert.equal(stripVTControlCharacters(painted), plain)
})

test('diagnostics are sorted by file, line and column as numbers, errors first', () => {
  const sorted = sortDiagnostics([
    diagnostic('b.yaml', 1, 1),
    diagnostic('a.yaml', 10, 1),
    diagnostic('a.yaml', 9, 2),
    diagnostic('a.yaml', 9, 1, { severity: 'warning' }),
    diagnostic('a.yaml', 9, 1),
  ])
  assert.deepEqual(
    sorted.map(({ at, severity }) => `${at.file}:${at.line}:${at.column} ${severity}`),
    ['a.yaml:9:1 error', 'a.yaml:9:1 warning', 'a.yaml:9:2 error', 'a.yaml:10:1 error', 'b.yaml:1:1 error'],
  )
})
