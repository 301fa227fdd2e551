import ignore from 'ignore'

/** The files that are read as manifests: `*.yaml` and `*.yml` that `.ballastignore` (gitignore syntax) lets by. */
export function selectFiles(paths: Iterable<string>, ignoreText = ''): string[] {
  const isIgnored = createIgnore(ignoreText)
  return [...paths].filter(path => isManifestName(path) && !isIgnored(path))
}

export const isManifestName = (path: string): boolean => /\.ya?ml$/.test(path)

/** Tells whether `.ballastignore` keeps a path out; one that ends with `/` is a folder. */
export function createIgnore(ignoreText: string): (path: string) => boolean {
  const ignored = ignore({ ignorecase: false, allowRelativePaths: true }).add(ignoreText)
  return path => ignored.ignores(path)
}

/**
 * Tells whether a file is one of `patterns`, or inside a folder that is: as in .gitignore, but each counts from
 * the root of the repository, so that nobody gets a right by naming a folder like somebody else's.
 */
export function createPathMatcher(patterns: readonly string[]): (file: string) => boolean {
  const anchored = patterns.map(pattern => (pattern.startsWith('/') ? pattern : `/${pattern}`))
  const matched = ignore({ ignorecase: false, allowRelativePaths: true }).add(anchored)
  return file => matched.ignores(file)
}
