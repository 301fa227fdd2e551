import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Document, isScalar, parseDocument, stringify, visit } from 'yaml'
import { checkRules } from '../../reconciler/manifest/check-rules.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { renderDiagnostic } from '../../reconciler/manifest/render-diagnostic.ts'
import { Diagnostic } from '../../schemas/diagnostic.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import { anyResource, soundFleet } from './arbitrary-manifests.ts'

/** Reads files and checks that all that comes of it can be shown. */
function read(files: readonly { path: string; text: string }[]) {
  const tree = parseManifests(files)
  const diagnostics = [...tree.diagnostics, ...checkRules(tree)]
  for (const diagnostic of diagnostics) {
    Diagnostic.parse(diagnostic)
    assert.ok(diagnostic.hint.length > 0 && !renderDiagnostic(diagnostic).includes('undefined'))
  }
  return { ...tree, diagnostics }
}

const HEAD = 'apiVersion: ballast.dev/v1\nkind: Service\n'

/** As a person writes it: what some version of YAML does not read as this text is in quotes. */
function write(resource: unknown, quoteValues = false): string {
  const document = new Document(resource, { version: '1.1', merge: false })
  visit(document, {
    Scalar(position, node) {
      if (typeof node.value !== 'string') return
      const { contents } = parseDocument(node.value, { version: '1.2' })
      const same = isScalar(contents) && contents.value === node.value && node.value !== '<<'
      if (!same || (quoteValues && position !== 'key')) node.type = 'QUOTE_DOUBLE'
    },
  })
  return document.toString()
}

/** Pieces that YAML gives a meaning to. */
const piece = fc.oneof(
  fc.constantFrom(
    '\n',
    '\n  ',
    '\n    ',
    '- ',
    ': ',
    ':',
    '? ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '"',
    "'",
    '|',
    '>',
    '#',
    '%',
    '@',
    '`',
  ),
  fc.constantFrom(
    '&a ',
    '*a',
    '&b ',
    '*b',
    '<<: ',
    '!!str ',
    '!t ',
    '---\n',
    '...\n',
    '\t',
    '\uFEFF',
    '\0',
    '\r\n',
    '\u2028',
    '%YAML 1.1\n',
  ),
  fc.constantFrom(
    'apiVersion',
    'ballast.dev/v1',
    'kind',
    'Service',
    'metadata',
    'name',
    'spec',
    'vip',
    'ports',
    'backends',
    '__proto__',
    'constructor',
  ),
  fc.constantFrom(
    'yes',
    '017',
    '1e999',
    '-0',
    '.nan',
    'null',
    '~',
    '12:30',
    '2001:db8::',
    '10.0.0.1',
    '9999999999999999999',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const yamlLike = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''))

test('no text makes the parser throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), yamlLike), fc.boolean(), (text, head) => {
      read([{ path: 'a.yaml', text: head ? HEAD + text : text }])
    }),
    { numRuns: 3000 },
  )
})

test('no value in place of a manifest, or inside one, makes the parser throw', () => {
  const value = fc.jsonValue()
  const broken = fc.tuple(anyResource, fc.nat(), value).map(([resource, pick, inside]) => {
    const copy: { spec?: Record<string, unknown> | undefined } = structuredClone(resource)
    const fields = Object.keys(copy.spec ?? {})
    const field = fields[pick % (fields.length + 1)]
    return field === undefined
      ? { ...copy, spec: inside }
      : { ...copy, spec: { ...copy.spec, [field]: inside } }
  })
  fc.assert(
    fc.property(fc.oneof(value, broken), document => {
      const text =
        typeof document === 'object' && document !== null
          ? stringify({ apiVersion: 'ballast.dev/v1', ...document })
          : stringify(document)
      read([{ path: 'a.yaml', text }])
    }),
    { numRuns: 500 },
  )
})

test('a document that its schema takes is read as it was written, with its defaults', () => {
  fc.assert(
    fc.property(anyResource, resource => {
      const { manifests, diagnostics } = parseManifests([{ path: 'a.yaml', text: write(resource) }])
      assert.deepEqual(diagnostics, [])
      const [{ at, locate, ...read } = assert.fail('nothing was read')] = manifests
      assert.deepEqual(read, Resource.parse(resource))
    }),
  )
})

test('every written value stands where it is said to stand', () => {
  fc.assert(
    fc.property(anyResource, resource => {
      const text = `# first\n---\n${write(resource, true)}`
      const [manifest = assert.fail('nothing was read')] = parseManifests([
        { path: 'a.yaml', text },
      ]).manifests
      const lines = text.split('\n')
      for (const [path, value] of scalarsOf(resource)) {
        const { line, column } = manifest.locate(path)
        const found = lines[line - 1]!.slice(column - 1)
        const written = JSON.stringify(value)
        // Long text is folded over several lines.
        assert.ok(found.startsWith(written.slice(0, 20)), `${path.join('.')}: ${found} is not ${written}`)
      }
    }),
  )
})

function* scalarsOf(
  value: unknown,
  path: readonly (string | number)[] = [],
): Iterable<[readonly (string | number)[], unknown]> {
  if (typeof value !== 'object' || value === null) yield [path, value]
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* scalarsOf(item, [...path, i])
  else for (const [key, item] of Object.entries(value)) yield* scalarsOf(item, [...path, key])
}

test('a sound fleet has nothing wrong, in any order and divided over any files', () => {
  fc.assert(
    fc.property(
      soundFleet.chain(fleet =>
        fc.tuple(
          fc.constant(fleet),
          fc.shuffledSubarray(fleet, { minLength: fleet.length }),
          fc.integer({ min: 1, max: 4 }),
        ),
      ),
      ([fleet, shuffled, files]) => {
        const { diagnostics, manifests } = read(
          Array.from({ length: files }, (_, file) => ({
            path: `${file}.yaml`,
            text: shuffled
              .filter((_, i) => i % files === file)
              .map(each => write(each))
              .join('---\n'),
          })),
        )
        assert.deepEqual(diagnostics, [])
        assert.equal(manifests.length, fleet.length)
      },
    ),
  )
})
