import { matchesGlob } from 'node:path/posix'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { VerifyRule } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { openKeyring } from './gpg-keyring.ts'
import { readSecret } from './read-secret.ts'

export interface VerifyRequest {
  readonly rules: readonly VerifyRule[]
  /** Without `refs/heads/`. */
  readonly branch: string
  /** What was accepted before, and verified then; null: the head alone is verified. */
  readonly base: Revision | null
  readonly head: Revision
}

/** Commits that one git process verifies: each takes some ten ms. */
const AT_ONCE = 200
const BATCH_MS = 120_000
/** Told one by one; of more, their number. */
const TOLD = 20

/**
 * What is wrong with the signatures of the commits from base to head: empty when every rule for the branch is kept.
 * Throws `SECRET_UNREADABLE` for files of signers, `COMMAND_…`, `GPG_NOT_INSTALLED`.
 */
export async function verifyCommits(place: GitPlace, request: VerifyRequest): Promise<Diagnostic[]> {
  const found = new Map<Revision, Diagnostic>()
  for (const rule of request.rules) {
    if (rule.branch !== undefined && !matchesGlob(request.branch, rule.branch)) continue
    const commits = await findCommits(place, request, rule.paths)
    for (const verdict of await judge(place, commits, rule)) {
      if (verdict.status !== 'good') found.set(verdict.revision, describe(verdict))
    }
  }
  const all = [...found.values()]
  return all.length <= TOLD ? all : [...all.slice(0, TOLD), describeRest(all.length - TOLD, all[TOLD]!)]
}

/**
 * Every commit that is new, and that differs from any of its parents in the paths. Not `git rev-list -- paths`: it
 * leaves out a merge that takes the state of one old parent, which is how old content could come back unsigned.
 */
async function findCommits(
  place: GitPlace,
  { base, head }: VerifyRequest,
  paths: readonly string[] | undefined,
): Promise<Revision[]> {
  if (base === null) return [head]
  const { stdout } = await runGit(place, ['rev-list', `${base}..${head}`, '--'], { timeout: BATCH_MS })
  if (paths === undefined || stdout === '') return lines(stdout)
  const flags = ['--stdin', '-m', '-r', '--root', '--no-renames', '-s', '--format=%H']
  const specs = paths.map(path => `:(top,glob)${path}`)
  const touching = await runGit(place, ['diff-tree', ...flags, '--', ...specs], {
    input: stdout,
    timeout: BATCH_MS,
  })
  return [...new Set(lines(touching.stdout))]
}

const lines = (text: string): string[] => text.split('\n').filter(line => line !== '')

interface Verdict {
  readonly revision: Revision
  readonly status: 'good' | 'unsigned' | 'unknown-signer' | 'bad-signature'
  /** Fingerprint or id of the key, as far as it is known. */
  readonly key: string
  readonly author: string
  readonly subject: string
}

async function judge(place: GitPlace, commits: readonly Revision[], rule: VerifyRule): Promise<Verdict[]> {
  if (commits.length === 0) return []
  const verifier = await openVerifier(rule)
  try {
    const verdicts: Verdict[] = []
    for (let at = 0; at < commits.length; at += AT_ONCE) {
      verdicts.push(...(await judgeBatch(place, commits.slice(at, at + AT_ONCE), verifier)))
    }
    return verdicts
  } finally {
    await verifier.close()
  }
}

interface Verifier {
  readonly settings: readonly string[]
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

/** No such file means: nobody is allowed to sign that way. */
const NOBODY = '/dev/null'
/** Ends with a failure, which git takes for a signature that it cannot check. */
const NO_PROGRAM = 'false'

async function openVerifier({ signers }: VerifyRule): Promise<Verifier> {
  const settings = (allowed: string, gpg: string) =>
    [
      `gpg.ssh.allowedSignersFile=${allowed}`,
      'gpg.ssh.revocationFile=/dev/null',
      'gpg.ssh.program=ssh-keygen',
      `gpg.program=${gpg}`,
      `gpg.openpgp.program=${gpg}`,
      `gpg.x509.program=${NO_PROGRAM}`,
      'gpg.minTrustLevel=fully',
    ].flatMap(each => ['-c', each])
  if ('ssh' in signers) {
    await readSecret(signers.ssh)
    return { settings: settings(signers.ssh, NO_PROGRAM), env: {}, close: async () => {} }
  }
  const keyring = await openKeyring(signers.gpg)
  return { settings: settings(NOBODY, 'gpg'), env: { GNUPGHOME: keyring.dir }, close: keyring.close }
}

/** `%G?` of git-log(1). */
const STATUS: Readonly<Record<string, Verdict['status']>> = {
  G: 'good',
  N: 'unsigned',
  U: 'unknown-signer',
  E: 'unknown-signer',
}

async function judgeBatch(
  place: GitPlace,
  commits: readonly Revision[],
  verifier: Verifier,
): Promise<Verdict[]> {
  const format = '--format=%H%x00%G?%x00%GK%x00%an <%ae>%x00%s%x00'
  const args = [...verifier.settings, 'log', '--no-walk=unsorted', '--stdin', '--no-show-signature', format]
  const { stdout } = await runGit(place, args, {
    input: `${commits.join('\n')}\n`,
    env: verifier.env,
    timeout: BATCH_MS,
  })
  const fields = stdout.split('\0')
  const verdicts: Verdict[] = []
  for (let at = 0; at + 5 <= fields.length; at += 5) {
    const [revision = '', mark = '', key = '', author = '', subject = ''] = fields.slice(at, at + 5)
    const status = STATUS[mark] ?? 'bad-signature'
    verdicts.push({ revision: revision.trim(), status, key, author, subject })
  }
  if (verdicts.length !== commits.length)
    throw new TypeError('git log told of other commits than it was asked for')
  const signed = await findSigned(
    place,
    verdicts.filter(({ status }) => status === 'unsigned'),
  )
  return verdicts.map(each => (signed.has(each.revision) ? { ...each, status: 'unknown-signer' } : each))
}

/** git says `N` also of a signature whose program fails, and of a kind it does not know. */
async function findSigned(place: GitPlace, verdicts: readonly Verdict[]): Promise<Set<Revision>> {
  const signed = new Set<Revision>()
  for (const { revision } of verdicts.slice(0, TOLD)) {
    const { stdout } = await runGit(place, ['cat-file', 'commit', revision])
    const headers = stdout.slice(0, stdout.indexOf('\n\n') + 1)
    if (/^gpgsig(-sha256)? /m.test(headers)) signed.add(revision)
  }
  return signed
}

const WORDS: Readonly<
  Record<Exclude<Verdict['status'], 'good'>, { what: (key: string) => string; hint: string }>
> = {
  unsigned: {
    what: () => 'is not signed',
    hint: 'Sign it (git commit --amend -S, git rebase --exec), and push again; for good: git config commit.gpgSign true.',
  },
  'unknown-signer': {
    what: key => `is signed by nobody who may sign here${key === '' ? '' : ` (key ${key})`}`,
    hint: 'Have somebody who may sign push it, or add the key to the file of signers if its owner may.',
  },
  'bad-signature': {
    what: key =>
      `has a signature that does not hold${key === '' ? '' : ` (key ${key})`}: it is false, expired or revoked`,
    hint: 'Find out where the commit comes from before it is signed again.',
  },
}

function describe({ revision, status, key, author, subject }: Verdict): Diagnostic {
  if (status === 'good') throw new TypeError('a good signature is no problem')
  const { what, hint } = WORDS[status]
  return {
    rule: `commit-${status}`,
    severity: 'error',
    message: `Commit ${revision.slice(0, 12)} by ${author} (${shorten(subject)}) ${what(key)}.`,
    hint,
    at: { file: '.', line: 1, column: 1 },
  }
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text)

const describeRest = (count: number, one: Diagnostic): Diagnostic => ({
  ...one,
  message: `The same or the like is so of ${count} more commits.`,
})
