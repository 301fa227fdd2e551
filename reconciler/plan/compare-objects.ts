import { isDeepStrictEqual } from 'node:util'
import type { Position } from '../../schemas/diagnostic.ts'
import type { ObjectPlan } from '../../schemas/plan.ts'
import { describeValue } from './describe-fields.ts'

/** A manifest, as far as comparing goes. */
export interface ComparedObject {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: object
  readonly at: Position
  locate(path: readonly (string | number)[]): Position
}

type Path = readonly (string | number)[]

/** Finding a line reads its file again: of so many fields, the others are said to be where the name stands. */
const LOCATED = 200
/** Of one manifest. */
const FIELDS_SHOWN = 50

/** Says of a change whether any packet goes elsewhere for it. */
export type HasEffect = (object: { kind: string; name: string; renamedFrom: string | null }) => boolean

/**
 * The manifests that two revisions do not share, by kind and name. One that went and one that came with the same
 * content, whatever its name, is one that was renamed. Annotations are compared and never shown.
 */
export function compareObjects(
  allBefore: readonly ComparedObject[],
  allAfter: readonly ComparedObject[],
  hasEffect: HasEffect,
): ObjectPlan[] {
  // Of ten thousand, all but a few are the very same.
  const [before, after] = [without(allBefore, allAfter), without(allAfter, allBefore)]
  const was = new Map(before.map(object => [idOf(object), object]))
  const is = new Map(after.map(object => [idOf(object), object]))
  const gone = before.filter(object => !is.has(idOf(object)))
  const plans: ObjectPlan[] = []
  let located = 0
  for (const object of after) {
    const former = was.get(idOf(object)) ?? takeRenamed(gone, object)
    const renamedFrom =
      former === undefined || former.metadata.name === object.metadata.name ? null : former.metadata.name
    const paths = former === undefined ? [] : changedPaths(former, object)
    if (former !== undefined && paths.length === 0 && renamedFrom === null) continue
    const fields = paths.slice(0, FIELDS_SHOWN).map(({ path, text }) => {
      const { line, column } = located++ < LOCATED ? object.locate(path) : object.at
      return { text, line, column }
    })
    const { kind, at } = object
    const { name } = object.metadata
    plans.push({
      kind,
      name,
      change: former === undefined ? 'create' : renamedFrom === null ? 'update' : 'rename',
      renamed_from: renamedFrom,
      effect: hasEffect({ kind, name, renamedFrom }) ? 'traffic' : 'none',
      fields,
      at: fields[0] === undefined ? at : { file: at.file, line: fields[0].line, column: fields[0].column },
      file_before: former === undefined || former.at.file === at.file ? null : former.at.file,
    })
  }
  for (const { kind, metadata, at } of gone) {
    const effect = hasEffect({ kind, name: metadata.name, renamedFrom: null }) ? 'traffic' : 'none'
    plans.push({
      ...{ kind, name: metadata.name, change: 'delete', renamed_from: null, effect, fields: [], at },
      file_before: null,
    })
  }
  return plans
}

function without(objects: readonly ComparedObject[], others: readonly ComparedObject[]): ComparedObject[] {
  const same = new Set(others)
  return objects.filter(object => !same.has(object))
}

const idOf = ({ kind, metadata }: ComparedObject): string => `${kind}/${metadata.name}`

/** Takes it out of what is gone. */
function takeRenamed(gone: ComparedObject[], object: ComparedObject): ComparedObject | undefined {
  const at = gone.findIndex(each => each.kind === object.kind && isDeepStrictEqual(each.spec, object.spec))
  return at < 0 ? undefined : gone.splice(at, 1)[0]
}

interface ChangedPath {
  readonly path: Path
  readonly text: string
}

function changedPaths(before: ComparedObject, after: ComparedObject): ChangedPath[] {
  if (before.spec === after.spec && before.metadata === after.metadata) return []
  const { name: _, ...wasNamed } = before.metadata
  const { name: __, ...isNamed } = after.metadata
  return [
    ...compareValues(['spec'], before.spec, after.spec),
    ...compareValues(['metadata'], wasNamed, isNamed),
  ]
}

function compareValues(path: Path, before: unknown, after: unknown): ChangedPath[] {
  if (isSame(before, after)) return []
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(path, before, after)
  if (isRecord(before) && isRecord(after)) {
    return [...new Set([...Object.keys(after), ...Object.keys(before)])].flatMap(key =>
      isSame(before[key], after[key]) ? [] : compareValues([...path, key], before[key], after[key]),
    )
  }
  return [changeAt(path, path, before, after)]
}

/** Of values as YAML has them, over and over: asks for no prototypes and symbols, which takes longest. */
function isSame(before: unknown, after: unknown): boolean {
  if (before === after) return true
  if (Array.isArray(before))
    return (
      Array.isArray(after) &&
      before.length === after.length &&
      before.every((each, index) => isSame(each, after[index]))
    )
  if (!isRecord(before) || !isRecord(after)) return false
  for (const key in before) if (!isSame(before[key], after[key])) return false
  for (const key in after) if (after[key] !== undefined && before[key] === undefined) return false
  return true
}

/** Things that have an address or a name of their own are compared by that, others by place. */
function compareLists(path: Path, before: readonly unknown[], after: readonly unknown[]): ChangedPath[] {
  const named = isNamed(before) && isNamed(after)
  const key = (each: unknown, index: number): string => (named ? nameIn(each)! : String(index))
  const was = new Map(before.map((each, index) => [key(each, index), each]))
  const found: ChangedPath[] = []
  for (const [index, each] of after.entries()) {
    const name = key(each, index)
    const former = was.get(name)
    was.delete(name)
    if (former === undefined) found.push(changeAt([...path, index], [...path, name], undefined, each))
    else if (!isSame(former, each))
      for (const change of compareValues([...path, index], former, each)) {
        const text = named
          ? change.text.replace([...path, index].join('.'), [...path, name].join('.'))
          : change.text
        found.push({ ...change, text })
      }
  }
  for (const [name, each] of was) found.push(changeAt(path, [...path, name], each, undefined))
  return found
}

function isNamed(list: readonly unknown[]): boolean {
  const names = new Set(list.map(nameIn))
  return names.size === list.length && !names.has(null)
}

function nameIn(value: unknown): string | null {
  if (!isRecord(value)) return null
  const name = value.address ?? value.name ?? value.prefix
  return typeof name === 'string' ? name : null
}

/** `path`: where it stands; `shown`: how it is named. */
function changeAt(path: Path, shown: Path, before: unknown, after: unknown): ChangedPath {
  const name = shown.join('.')
  const values = shown.includes('annotations')
    ? 'changed'
    : `${describeValue(name, before)} → ${describeValue(name, after)}`
  return { path, text: `${name}: ${values}` }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
