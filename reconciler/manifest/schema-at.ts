import type { z } from 'zod'
import type { ValuePath } from './manifest.ts'

type Schema = z.core.$ZodType

/** The keys that a mapping at `path` may have; none when it is no mapping, or may have any. */
export function keysAt(schema: Schema, path: ValuePath): string[] {
  const keys = new Set<string>()
  for (const { _zod } of schemasAt(schema, path)) {
    const { def } = _zod as z.core.$ZodTypes['_zod']
    if (def.type === 'object') for (const key of Object.keys(def.shape)) keys.add(key)
  }
  return [...keys]
}

/** What the schema says that the value at `path` is; '' when it says nothing. */
export function descriptionAt(schema: z.ZodType, path: ValuePath): string {
  for (const candidate of schemasAt(schema, path)) {
    const { description } = candidate as z.ZodType
    if (description !== undefined) return description
  }
  return ''
}

/** All schemas that a value at `path` may have to meet, outermost first. */
function schemasAt(schema: Schema, path: ValuePath): Schema[] {
  let level = unwrap(schema)
  for (const step of path) level = level.flatMap(each => inside(each, step)).flatMap(unwrap)
  return level
}

function unwrap(schema: Schema): Schema[] {
  const { def } = schema._zod as z.core.$ZodTypes['_zod']
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
      return [schema, ...unwrap(def.innerType)]
    case 'pipe':
      return [schema, ...unwrap(def.in)]
    case 'union':
      return [schema, ...def.options.flatMap(unwrap)]
    default:
      return [schema]
  }
}

function inside(schema: Schema, step: string | number): Schema[] {
  const { def } = schema._zod as z.core.$ZodTypes['_zod']
  if (def.type === 'object') return def.shape[step] === undefined ? [] : [def.shape[step]]
  if (def.type === 'array') return [def.element]
  if (def.type === 'record') return [def.valueType]
  return []
}
