import type { Diagnostic } from '../../schemas/diagnostic.ts'

/** What a snapshot may hold: more is refused, so that no push can make the reconciler run out of memory. */
export const LIMITS = {
  /** Files and folders. */
  entries: 100_000,
  /** Folders inside each other. */
  depth: 100,
  /** Bytes of one file. */
  fileBytes: 1 << 20,
  /** Bytes of all files and tree objects that are read. */
  totalBytes: 64 << 20,
}

/** Something in the repository that Ballast does not read, as an error: what it holds would be missing without a word. */
export type Refuse = (path: string) => Diagnostic

const refuse =
  (rule: string, message: string, hint: string): Refuse =>
  path => ({
    rule,
    severity: 'error',
    message,
    hint,
    at: { file: path === '' ? '.' : path, line: 1, column: 1 },
  })

const OR_IGNORE = 'or name it in .ballastignore.'

export const refuseSymlink = refuse(
  'repo-symlink',
  'This is a symbolic link, and what it points at may be outside of what was reviewed.',
  `Put the file or folder itself here, ${OR_IGNORE}`,
)

export const refuseSubmodule = refuse(
  'repo-submodule',
  'This is a submodule: its files are in another repository, which is not read.',
  `Put the files themselves here, ${OR_IGNORE}`,
)

export const refuseName = refuse(
  'repo-file-name',
  'This name is not UTF-8, or not one that a file can have.',
  'Give it another name.',
)

export const refuseBigFile = refuse(
  'repo-file-size',
  `This file is larger than ${LIMITS.fileBytes >> 20} MiB.`,
  `Split it, ${OR_IGNORE}`,
)

export const refuseEncoding = refuse(
  'repo-not-utf8',
  'This file is not UTF-8 text.',
  `Save it as UTF-8, ${OR_IGNORE}`,
)

export const refuseLfs = refuse(
  'repo-lfs',
  'This is a pointer to a file in Git LFS, which is not read.',
  `Commit the file itself (git lfs untrack), ${OR_IGNORE}`,
)

export const refuseMissingPath = refuse(
  'repo-path-missing',
  'This revision has no such folder, so there are no manifests.',
  'Put it back, or have Ballast read another path. To take a fleet down, remove its services and keep the folder.',
)

export const refuseDepth = refuse(
  'repo-too-deep',
  `Folders are more than ${LIMITS.depth} levels deep here.`,
  'Lay the manifests out flatter.',
)

export const refuseCount = refuse(
  'repo-too-many-files',
  `There are more than ${LIMITS.entries.toLocaleString('en')} manifests and folders here.`,
  'Give Ballast a folder of its own (path), put several services into one file, or use .ballastignore.',
)

export const refuseTotal = refuse(
  'repo-too-big',
  `The manifests and folders here are larger than ${LIMITS.totalBytes >> 20} MiB in all.`,
  'Give Ballast a folder of its own (path), or use .ballastignore.',
)
