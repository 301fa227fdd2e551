import { BallastError } from '../../schemas/ballast-error.ts'

/** Where the manifests come from, by the form of `--repo`. */
export type RepositoryAddress =
  | { readonly kind: 'local'; readonly dir: string }
  /** Without a final `/`. */
  | { readonly kind: 'http'; readonly url: string }
  /** As the git command takes it: `ssh://user@host:port/path` or `user@host:path`. */
  | { readonly kind: 'ssh'; readonly url: string }

/** `user@host:path`, or `host:path`; a `/` before the colon makes it a folder, `::` names a program (git-fetch(1), GIT URLS). */
const SCP_LIKE = /^[^/:@\s-][^/:@\s]*(@[^/:@\s-][^/:@\s]*)?:(?!\/\/|:)\S+$/

/** Throws `REPO_ADDRESS_INVALID`; its message never repeats a password. */
export function parseAddress(repo: string): RepositoryAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(repo)?.[1]?.toLowerCase()
  if (scheme === undefined) {
    return SCP_LIKE.test(repo) ? { kind: 'ssh', url: repo } : { kind: 'local', dir: repo }
  }
  if (!URL.canParse(repo)) throw invalid('this is no URL', 'Write https://host/path or ssh://user@host/path.')
  const url = new URL(repo)
  if (url.password !== '') {
    throw invalid(
      'the address holds a password, which every process list would show',
      'Take it out of --repo and put it into a file: --git-password-file or --git-token-file.',
    )
  }
  if (scheme === 'ssh') {
    // A host that begins with a dash would be an option of ssh.
    if (url.hostname === '' || url.hostname.startsWith('-'))
      throw invalid('it names no host', 'Write ssh://user@host/path.')
    return { kind: 'ssh', url: repo }
  }
  if (scheme !== 'http' && scheme !== 'https') {
    throw invalid(
      `${scheme}:// is no way to a repository that Ballast knows`,
      'Give a folder, https://host/path, ssh://user@host/path or user@host:path.',
    )
  }
  if (url.username !== '') {
    throw invalid(
      'the address names a user',
      'Give it as --git-user, or leave it out: with a token none is needed.',
    )
  }
  return { kind: 'http', url: url.href.replace(/\/+$/, '') }
}

const invalid = (message: string, hint: string): BallastError =>
  new BallastError({ code: 'REPO_ADDRESS_INVALID', message: `--repo: ${message}`, hint })
