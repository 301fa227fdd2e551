import fc from 'fast-check'
import { z } from 'zod'

/** What `z.toJSONSchema` makes of the schemas here. */
interface JsonSchema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly not?: object
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly propertyNames?: JsonSchema
  readonly additionalProperties?: JsonSchema | false
  readonly items?: JsonSchema
  readonly prefixItems?: readonly JsonSchema[]
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly pattern?: string
  readonly format?: string
  readonly examples?: readonly unknown[]
}

/** Values that a schema takes, as they are written (`input`) or as it gives them (`output`). */
export function arbitraryOf<S extends z.ZodType>(
  schema: S,
  io: 'input' | 'output' = 'output',
): fc.Arbitrary<z.input<S>> {
  return arbitrary(z.toJSONSchema(schema, { io, reused: 'inline' }) as JsonSchema) as fc.Arbitrary<z.input<S>>
}

const FORMATS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  ipv4: fc.ipV4(),
  ipv6: fc.ipV6(),
  cidrv4: fc.tuple(fc.ipV4(), fc.nat(32)).map(prefix => prefix.join('/')),
  cidrv6: fc.tuple(fc.ipV6(), fc.nat(128)).map(prefix => prefix.join('/')),
}

/** Zod leaves out the key `__proto__`, which no program here writes. */
const jsonValues = fc
  .json()
  .filter(text => !text.includes('__proto__'))
  // JSON has no -0.
  .map((text): unknown => JSON.parse(text.replaceAll(/-0(?![.\d])/g, '0')))

function arbitrary(schema: JsonSchema): fc.Arbitrary<unknown> {
  const alternatives = schema.anyOf ?? schema.oneOf
  // The one schema here that refers to itself is that of any JSON value.
  if (schema.$ref !== undefined || Object.keys(schema).length === 0) return jsonValues
  // Where a rule in code says what is valid, the schema has examples.
  if (schema.examples !== undefined) return fc.constantFrom(...schema.examples)
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (alternatives !== undefined) return fc.oneof(...alternatives.map(arbitrary))
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map(type => arbitrary({ ...schema, type })))
  switch (schema.type) {
    case 'object':
      return objects(schema)
    case 'array':
      if (schema.prefixItems !== undefined) return fc.tuple(...schema.prefixItems.map(arbitrary))
      return fc.array(arbitrary(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 3, 4),
      })
    case 'string':
      return texts(schema)
    case 'integer':
    case 'number':
      return numbers(schema)
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    default:
      throw new TypeError(`no values are made for ${JSON.stringify(schema)}`)
  }
}

function numbers(schema: JsonSchema): fc.Arbitrary<unknown> {
  const min = schema.exclusiveMinimum ?? schema.minimum ?? -1e9
  const max = schema.exclusiveMaximum ?? schema.maximum ?? 1e9
  if (schema.type === 'integer')
    return fc.integer({
      min: Math.max(min + Number(schema.exclusiveMinimum !== undefined), -(2 ** 31)),
      max: Math.min(max - Number(schema.exclusiveMaximum !== undefined), 2 ** 31 - 1),
    })
  return (
    fc
      .double({
        min,
        max,
        minExcluded: schema.exclusiveMinimum !== undefined,
        maxExcluded: schema.exclusiveMaximum !== undefined,
        noNaN: true,
      })
      // JSON has no -0.
      .map(value => value + 0)
  )
}

function texts({ format, pattern, minLength = 0, maxLength = 20 }: JsonSchema): fc.Arbitrary<unknown> {
  if (format !== undefined && FORMATS[format] !== undefined) return FORMATS[format]
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { maxLength: 64 })
  return fc.string({ minLength, maxLength })
}

function objects(schema: JsonSchema): fc.Arbitrary<unknown> {
  const { properties = {}, required = [], additionalProperties, propertyNames = { type: 'string' } } = schema
  const fields = fc.record(
    Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, arbitrary(value)])),
    { requiredKeys: [...required], noNullPrototype: true },
  )
  if (
    additionalProperties === undefined ||
    additionalProperties === false ||
    additionalProperties.not !== undefined
  )
    return fields
  const keys = arbitrary(propertyNames).filter(key => key !== '__proto__') as fc.Arbitrary<string>
  return fc.dictionary(keys, arbitrary(additionalProperties), { maxKeys: 3, noNullPrototype: true })
}
