import fs from 'node:fs'
import git from 'isomorphic-git'
import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import { type BranchContent, type DriftCommit, isTold, readEpoch } from '../drift/drift-message.ts'
import { DRIFT_FOLDER } from '../drift/drift-path.ts'
import { openSigner, type SigningKey } from './commit-signer.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { openGitObjects } from './git-objects.ts'
import { openMirror } from './mirror.ts'
import type { WritableRemote } from './push.ts'
import { writeCommit } from './write-commit.ts'

export interface DriftBranchOptions {
  /** A bare repository of our own, made if need be: what could not be pushed yet waits in it. */
  readonly dir: string
  readonly branch: string
  /** `place`: a repository to run git in. */
  readonly openRemote: (place: GitPlace) => Promise<WritableRemote>
  readonly author: { readonly name: string; readonly email: string }
  readonly signingKey: SigningKey | undefined
}

/** The branch that drift is committed to. One writer at a time: its calls must not overlap. */
export interface DriftBranch {
  /** Where it is pushed to, without secrets. */
  readonly url: string
  /** Brings what others have pushed, if that can be had; throws what `Remote` throws, and then has what it had. */
  fetch(): Promise<void>
  read(): Promise<BranchContent>
  /** Keeps a commit on disk, to be pushed. */
  commit(change: DriftCommit): Promise<Revision>
  /** Commits that wait. */
  waiting(): Promise<number>
  /**
   * Pushes what waits; never by force. When the branch has moved on, what waits is built anew on top of it, less what is
   * told there already: `rebuilt`, and `read` gives something else then. `epoch`: of the reconciler that leads. Throws
   * `NOT_LEADING` when one that led later has written, `GIT_PUSH_REJECTED`, and what `Remote` throws.
   */
  push(epoch: number | null): Promise<'nothing' | 'pushed' | 'rebuilt'>
  close(): Promise<void>
}

/** What the remote's branch was last seen to be. */
const PUSHED_REF = 'refs/ballast/pushed'
/** Commits that are read for what they tell. */
const COMMITS_READ = 2_000
/** The branch may be moved by others while we build. */
const TRIES = 5

export async function openDriftBranch(options: DriftBranchOptions): Promise<DriftBranch> {
  const { branch, author } = options
  const mirror = await openMirror(options.dir)
  const { place } = mirror
  const remote = await options.openRemote(place)
  const signer = await openSigner(options.signingKey)
  const ref = `refs/heads/${branch}`

  async function commitOf(name: string): Promise<Revision | null> {
    const args = ['rev-parse', '--verify', '--quiet', `${name}^{commit}`]
    const { stdout } = await runGit(place, args, { okExitCodes: [0, 1] })
    return Revision.safeParse(stdout.trim()).data ?? null
  }

  const moveRef = (name: string, revision: Revision | null): Promise<unknown> =>
    runGit(place, revision === null ? ['update-ref', '-d', name] : ['update-ref', name, revision])

  async function readLog(
    range: readonly string[],
  ): Promise<{ revision: Revision; message: string; at: number }[]> {
    const args = [
      'log',
      '-z',
      `-n${COMMITS_READ}`,
      '--no-show-signature',
      '--format=%H %ct%n%B',
      ...range,
      '--',
    ]
    const { stdout } = await runGit(place, args)
    return stdout.split('\0').flatMap(text => {
      const [, revision, seconds, message = ''] = /^(\S+) (\d+)\n([\s\S]*)$/.exec(text) ?? []
      return revision === undefined ? [] : [{ revision, message, at: Number(seconds) * 1000 }]
    })
  }

  async function readFiles(head: Revision): Promise<Map<string, string>> {
    const { stdout } = await runGit(place, ['ls-tree', '-r', '-z', head, '--', `${DRIFT_FOLDER}/`])
    const entries = [...stdout.matchAll(/100644 blob ([0-9a-f]+)\t([^\0]+)\0/g)].map(([, oid, path]) => ({
      oid: oid!,
      path: path!,
    }))
    if (entries.length === 0) return new Map()
    const objects = await openGitObjects(place)
    try {
      const blobs = await objects.readBlobs(entries.map(({ oid }) => oid))
      return new Map(entries.map(({ path }, index) => [path, Buffer.from(blobs[index]!).toString()]))
    } finally {
      await objects.close()
    }
  }

  /** The ids of the files that a commit changed. */
  async function changesOf(revision: Revision): Promise<Map<string, string | null>> {
    const args = ['diff-tree', '--root', '--no-commit-id', '-r', '-z', '--no-renames', '--raw', revision]
    const { stdout } = await runGit(place, args)
    return new Map(
      Array.from(stdout.matchAll(/:\d+ (\d+) \S+ (\S+) \w\0([^\0]+)\0/g), ([, mode, oid, path]) => [
        path!,
        mode === '000000' ? null : oid!,
      ]),
    )
  }

  /** What was never pushed, on top of what is there now. */
  async function rebuild(tip: Revision | null, pushed: Revision | null): Promise<void> {
    const except = [tip, pushed].flatMap(each => (each === null ? [] : [`^${each}`]))
    const waiting = (await commitOf(ref)) === null ? [] : (await readLog([ref, ...except])).toReversed()
    const theirs = tip === null ? [] : (await readLog([tip])).map(({ message }) => message)
    let head = tip
    for (const { revision, message, at } of waiting) {
      if (isTold(message, theirs)) continue
      const blobs = await changesOf(revision)
      head = await writeCommit(place, { parent: head, blobs, message, at, author, signer })
    }
    await moveRef(ref, head)
    await moveRef(PUSHED_REF, tip)
  }

  /** Null: there is no such branch. */
  const fetchTip = (): Promise<Revision | null> => remote.fetch(ref, place)

  async function refuseIfLater(epoch: number | null, tip: Revision | null): Promise<void> {
    const messages = tip === null ? [] : (await readLog([tip])).map(({ message }) => message)
    const theirs = readEpoch(messages)
    if (epoch === null || theirs === null || theirs <= epoch) return
    throw new BallastError({
      code: 'NOT_LEADING',
      message: `a reconciler that leads since later has written to ${branch} of ${remote.url}`,
      hint: 'Nothing was pushed. The one that leads does it; this one stands by.',
      retryable: true,
    })
  }

  return {
    url: remote.url,

    async fetch() {
      const [tip, pushed] = [await fetchTip(), await commitOf(PUSHED_REF)]
      if (tip !== pushed) await rebuild(tip, pushed)
    },

    async read() {
      const head = await commitOf(ref)
      if (head === null) return { files: new Map(), commits: [] }
      const [files, commits] = await Promise.all([readFiles(head), readLog([head])])
      return { files, commits }
    },

    async commit({ files, message, at }) {
      const blobs = new Map<string, string | null>()
      for (const [path, text] of files) {
        const blob = Buffer.from(text ?? '')
        blobs.set(path, text === null ? null : await git.writeBlob({ fs, gitdir: place.commonDir, blob }))
      }
      const parent = await commitOf(ref)
      const revision = await writeCommit(place, { parent, blobs, message, at, author, signer })
      await moveRef(ref, revision)
      return revision
    },

    async waiting() {
      const [head, pushed] = [await commitOf(ref), await commitOf(PUSHED_REF)]
      if (head === null || head === pushed) return 0
      const { stdout } = await runGit(place, [
        'rev-list',
        '--count',
        head,
        ...(pushed === null ? [] : [`^${pushed}`]),
      ])
      return Number(stdout)
    },

    async push(epoch) {
      let isRebuilt = false
      for (let attempt = 1; ; attempt++) {
        const [head, pushed] = [await commitOf(ref), await commitOf(PUSHED_REF)]
        if (head === pushed || head === null) return isRebuilt ? 'rebuilt' : 'nothing'
        try {
          await remote.push(branch, place)
          await moveRef(PUSHED_REF, head)
          await mirror.collect()
          return isRebuilt ? 'rebuilt' : 'pushed'
        } catch (error) {
          if (!(error instanceof BallastError) || error.code !== 'GIT_PUSH_REJECTED') throw error
          const tip = await fetchTip()
          // Nobody moved it: the server does not want it.
          if (tip === pushed || attempt === TRIES) throw error
          await refuseIfLater(epoch, tip)
          await rebuild(tip, pushed)
          isRebuilt = true
        }
      }
    },

    async close() {
      remote.close()
      await signer.close()
    },
  }
}
