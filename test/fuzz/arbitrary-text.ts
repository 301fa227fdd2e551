import fc from 'fast-check'

/** Pieces that a YAML parser treats specially, and those that manifests and settings are made of. */
const PIECES = [
  ...['&a ', '*a ', '&b [', '*b', '!t ', '!!str ', '!<x> ', '<<: ', '? ', ': ', '- ', '-', '\n- ', '\n  '],
  ...[
    '[',
    ']',
    '{',
    '}',
    ',',
    '"',
    "'",
    '\\u',
    '\\',
    '|',
    '>',
    '|9-\n',
    '>+\n',
    '#',
    ' #',
    '%YAML 1.1\n',
    '%TAG ! x\n',
  ],
  ...['\n---\n', '\n...\n', '\n', '\r\n', '\r', '\t', ' ', '\uFEFF', '\0', '\u2028', '@', '`', '\ud800', '~'],
  ...['null', 'yes', '0x1f', '1e999', '.nan', '-0', '010', '1_000', '12:30:45', '2001-01-01', '__proto__: '],
  ...['apiVersion: ballast.dev/v1\n', 'kind: Service\n', 'kind: Node\n', 'metadata:\n  name: a\n', 'spec:\n'],
  ...[
    '  vip: 203.0.113.10\n',
    '  ports:\n    - { port: 80, protocol: tcp }\n',
    'constructor: ',
    'toString: 1\n',
  ],
  ...['stateDir: /x\n', 'redis: redis://x\n', 'scanInterval: 1\n', 'logLevel: info\n'],
]

/** Texts of such pieces, and of anything. */
export const arbitraryText = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
    ),
    { maxLength: 120 },
  )
  .map(pieces => pieces.join(''))

const HEAD = 'apiVersion: ballast.dev/v1\nkind: Service\nmetadata:\n  name: a\nspec: '

/** Texts that are made to be slow or large, near what one file may have. */
export function craftedTexts(bytes: number): string[] {
  const fill = (piece: string): string => piece.repeat(Math.ceil(bytes / piece.length))
  const numbered = (piece: (n: number) => string): string =>
    Array.from({ length: Math.ceil(bytes / piece(10_000).length) }, (_, n) => piece(n)).join('')
  const bodies = [
    ...[
      '&a ',
      '*a ',
      '!t ',
      '[',
      '{',
      '- ',
      '\n- ',
      '? ',
      ': ',
      '"',
      "'",
      ',',
      '@',
      '\n a\n  b: c\n',
      'a: ',
    ].map(fill),
    ...[
      '\n---\n',
      '\n...\n',
      '\n%YAML 1.2\n',
      '\r\n',
      '\t',
      '\0',
      '#\n',
      '\n  <<: {a: 1}\n',
      '\n  k: 1\n',
    ].map(fill),
    `[&a x, ${fill('*a, ')}]`,
    `[${numbered(n => `&a${n} x, *a${n}, `)}]`,
    `\n${numbered(n => `  k${n}: 1\n`)}`,
    `{${fill('a: 1, ')}}`,
    `"${fill('\\u0041')}"`,
    `"${fill('\\z')}"`,
    `>\n${fill('  a\n\n')}`,
    // Each anchor stands for the two before it: the last for 2^60 values.
    `\n${Array.from({ length: 60 }, (_, n) => `  k${n}: &a${n} ${n === 0 ? 'x' : `[*a${n - 1}, *a${n - 1}]`}\n`).join('')}`,
  ]
  return bodies.flatMap(body => [`${HEAD}${body}`, body])
}
