import { join } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { PullState, SourceProblem } from '../../schemas/revision-state.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Log } from '../log/log.ts'
import { findRepository } from './find-repository.ts'
import { followRemote, type RemoteFollower } from './follow-remote.ts'
import { rememberBranch, rememberedBranch } from './followed-branch.ts'
import type { GitPlace } from './git-command.ts'
import type { HttpClientOptions } from './http-client.ts'
import type { HttpCredentials } from './http-credentials.ts'
import { createHttpRemote } from './http-remote.ts'
import { openLocalRemote } from './local-remote.ts'
import { openMirror } from './mirror.ts'
import type { WritableRemote } from './push.ts'
import type { Remote } from './remote.ts'
import { parseAddress, type RepositoryAddress } from './remote-address.ts'
import { openRepository, type Repository } from './repository.ts'
import { createSshRemote } from './ssh-remote.ts'

export interface SourceOptions {
  /** A folder, `https://…`, `http://…`, `ssh://…` or `user@host:path`. */
  readonly repo: string
  /** Undefined: the default branch as it is when it is first seen. */
  readonly branch: string | undefined
  /** A remote's mirror is its folder `mirror`. */
  readonly stateDir: string
  /** ms between two looks at a remote. */
  readonly pollInterval: number
  readonly http: HttpClientOptions & { readonly credentials: HttpCredentials }
  readonly ssh: { readonly keyFile: string | undefined; readonly knownHostsFile: string | undefined }
  readonly log: Log
}

/** A branch of a repository, here or on another machine. */
export interface Source {
  /** Where it was named, without secrets. */
  readonly address: string
  /** The repository itself, or the mirror of a remote. */
  readonly repository: Repository
  /** The branch that is followed, without `refs/heads/`; null while nobody could say which the default one is. */
  branch(): Promise<string | null>
  /** What keeps the branch from being followed, or should be known; empty when all is well. */
  problems(): Promise<Omit<SourceProblem, 'since'>[]>
  /** How the looks at a remote go; null: the repository is a local one. */
  pullState(): PullState | null
  /** Begins to follow. */
  start(): Promise<void>
  /** Somebody says that there is something new. */
  poll(): void
  /** Looks once, now; a local repository need not be asked. Throws what `Remote` throws. */
  pull(): Promise<void>
  /**
   * The commit that a full ref names now, for instance `refs/pull/7/head`, brought here with its history; null: there is
   * none. Throws what `Remote` throws.
   */
  bring(ref: string): Promise<Revision | null>
  /** Yields at once, and whenever the branch may have moved or `pullState().error` changed. */
  changes(signal: AbortSignal): AsyncIterable<void>
  close(): Promise<void>
}

/**
 * Throws `REPO_ADDRESS_INVALID`, `REPO_NOT_FOUND`, `REPO_UNSUPPORTED`, `GIT_NOT_INSTALLED`, `SSH_KEY_MISSING`,
 * and not that a remote cannot be reached.
 */
export async function openSource(options: SourceOptions): Promise<Source> {
  const address = parseAddress(options.repo)
  return address.kind === 'local' ? openLocal(address.dir, options) : openRemote(address, options)
}

async function openLocal(dir: string, { branch: configured }: SourceOptions): Promise<Source> {
  const repository = await openRepository({ dir })
  const place = await findRepository(dir)
  const branch = async () =>
    configured ?? (await rememberedBranch(place)) ?? (await repository.defaultBranch())
  const exists = async (name: string) => (await repository.resolve(`refs/heads/${name}`)) !== null

  return {
    address: repository.dir,
    repository,
    branch,
    problems: async () => {
      const current = configured === undefined ? await repository.defaultBranch() : null
      return findProblems({ address: repository.dir, branch: await branch(), current, exists })
    },
    pullState: () => null,
    async start() {
      const name = configured === undefined ? await branch() : null
      if (name !== null && (await exists(name))) await rememberBranch(place, name)
    },
    poll() {},
    pull: async () => {},
    bring: ref => repository.resolve(ref),
    async *changes(signal) {
      const name = await branch()
      if (name !== null) yield* repository.watch(`refs/heads/${name}`, signal)
    },
    close: async () => {},
  }
}

async function openRemote(
  address: Exclude<RepositoryAddress, { kind: 'local' }>,
  options: SourceOptions,
): Promise<Source> {
  const mirror = await openMirror(join(options.stateDir, 'mirror'))
  const repository = await openRepository({ dir: mirror.place.dir })
  const branch = async () => options.branch ?? (await rememberedBranch(mirror.place))
  const remote = createRemote(address, options, mirror.place)
  const follower: RemoteFollower = await followRemote({
    remote,
    mirror,
    branch,
    remember: name => rememberBranch(mirror.place, name),
    withDefault: options.branch === undefined,
    pollInterval: options.pollInterval,
    log: options.log,
  })

  return {
    address: address.url,
    repository,
    branch,
    async problems() {
      // Before the first answer nobody knows whether anything is wrong; that there is none is said by `pullState`.
      if (follower.state().lastAt === null) return []
      return findProblems({
        address: address.url,
        branch: await branch(),
        current: follower.defaultBranch(),
        exists: async name => (await mirror.head(name)) !== null,
      })
    },
    pullState: follower.state,
    start: async () => follower.start(),
    poll: follower.poll,
    pull: follower.pull,
    bring: ref => remote.fetch(ref, mirror.place),
    changes: follower.changes,
    close: follower.close,
  }
}

/** To push to; `place`: a repository to run git in. Throws what `openSource` throws. */
export async function openWritableRemote(
  options: Pick<SourceOptions, 'repo' | 'http' | 'ssh'>,
  place: GitPlace,
): Promise<WritableRemote> {
  const address = parseAddress(options.repo)
  return address.kind === 'local' ? openLocalRemote(address.dir) : createRemote(address, options, place)
}

function createRemote(
  address: Exclude<RepositoryAddress, { kind: 'local' }>,
  { http, ssh }: Pick<SourceOptions, 'http' | 'ssh'>,
  place: GitPlace,
): Remote & WritableRemote {
  if (address.kind === 'http') return createHttpRemote({ ...http, url: address.url })
  const { keyFile, knownHostsFile } = ssh
  if (keyFile === undefined || knownHostsFile === undefined) {
    throw new BallastError({
      code: 'SSH_KEY_MISSING',
      message: `${address.url} needs a key of ours and the keys of its host`,
      hint: 'Give --git-ssh-key-file and --git-known-hosts-file (ssh-keyscan HOST gives lines to compare with what its operator publishes).',
    })
  }
  return createSshRemote({ url: address.url, keyFile, knownHostsFile }, place)
}

interface Found {
  readonly address: string
  readonly branch: string | null
  /** The default branch now; null: unknown, or of no interest. */
  readonly current: string | null
  readonly exists: (branch: string) => Promise<boolean>
}

async function findProblems({
  address,
  branch,
  current,
  exists,
}: Found): Promise<Omit<SourceProblem, 'since'>[]> {
  if (branch === null) {
    return [
      {
        rule: 'branch-unknown',
        message: `${address} names no default branch.`,
        hint: 'Say which branch to follow: --branch. An empty repository names one with its first push.',
      },
    ]
  }
  const problems: Omit<SourceProblem, 'since'>[] = []
  if (!(await exists(branch))) {
    problems.push({
      rule: 'branch-missing',
      message: `Branch ${branch} does not exist in ${address}; what was accepted stays.`,
      hint: 'Push it again, or follow another one: --branch.',
    })
  }
  if (current !== null && current !== branch) {
    problems.push({
      rule: 'default-branch-moved',
      message: `The default branch of ${address} is now ${current}; ${branch} is followed as before.`,
      hint: `Follow ${current} with --branch ${current}, or stay with --branch ${branch}.`,
    })
  }
  return problems
}
