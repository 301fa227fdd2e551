import type { Diagnostic, Position } from '../../schemas/diagnostic.ts'
import type { Kind, Resource } from '../../schemas/manifest/resource.ts'

/** A file of the repository. `path` counts from the root of the repository, with `/` between its parts. */
export interface ManifestFile {
  readonly path: string
  readonly text: string
  /** The id of its blob: with a cache, a file whose id was seen before is not parsed again. */
  readonly id?: string
}

/** Where a value stands inside a document: keys of mappings and indices of lists. */
export type ValuePath = readonly (string | number)[]

/** A value that was read, with the place that it came from. */
interface Place {
  /** Where the name stands. */
  readonly at: Position
  /**
   * Where the value at `path` stands, or the nearest thing around it that was written (a default stands
   * nowhere). Parses the file again: for diagnostics only.
   */
  locate(path: ValuePath): Position
}

export type ManifestOf<R extends Resource> = R & Place

/** A valid document with its defaults filled in, and where it came from. Narrow it by `kind`. */
export type Manifest = { [K in Kind]: ManifestOf<Extract<Resource, { kind: K }>> }[Kind]

/** A document of ours that could not be read; what could be made out of its kind and name. */
export interface Broken {
  readonly kind: string | null
  readonly name: string | null
}

/** What the files of one revision hold. */
export interface ManifestTree {
  readonly manifests: readonly Manifest[]
  /** Everything wrong, sorted by place. */
  readonly diagnostics: readonly Diagnostic[]
  /** Documents that belong to others. */
  readonly ignored: number
  readonly broken: readonly Broken[]
  /** There are files that were not looked at, so that nothing can be said of what is missing. */
  readonly incomplete: boolean
}
