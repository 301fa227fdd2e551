import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import type { CommandResult } from '../process/run-command.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { pushRejected, type WritableRemote } from './push.ts'
import { readSecret } from './read-secret.ts'
import type { Remote } from './remote.ts'

export interface SshRemoteOptions {
  readonly url: string
  /** A deploy key without a passphrase, readable by its owner alone. */
  readonly keyFile: string
  /** ssh_known_hosts: a host that is not in it is refused. */
  readonly knownHostsFile: string
  /** s; 10 when left out. */
  readonly connectTimeout?: number
}

const LIST_MS = 60_000
const FETCH_MS = 1_800_000
/** Where fetched commits are named meanwhile: a branch and what is proposed for it may come at the same time. */
const incomingRef = (ref: string): string =>
  ref.startsWith('refs/heads/') ? 'refs/ballast/incoming' : 'refs/ballast/proposed'

/** By the git command, which runs ssh: isomorphic-git does not speak it. `place`: any repository to run git in. */
export function createSshRemote(options: SshRemoteOptions, place: GitPlace): Remote & WritableRemote {
  const { url } = options
  const ending = new AbortController()
  const env = { GIT_SSH_COMMAND: composeSsh(options), GIT_SSH_VARIANT: 'ssh' }

  async function run(args: readonly string[], timeout: number, at = place): Promise<CommandResult> {
    // ssh itself does not say which of the two it lacks.
    for (const file of [options.keyFile, options.knownHostsFile]) await readSecret(file)
    return runGit(at, ['-c', 'protocol.ssh.allow=always', ...args], {
      env,
      timeout,
      signal: ending.signal,
      // That of a push which was rejected.
      okExitCodes: args[0] === 'push' ? [0, 1] : [0],
    }).catch((cause: unknown) => {
      throw explain(url, cause)
    })
  }

  return {
    url,

    async list({ branch, withDefault }) {
      const patterns = branch === null ? ['HEAD', 'refs/heads/*'] : [`refs/heads/${branch}`]
      if (withDefault && branch !== null) patterns.push('HEAD')
      const { stdout: listed } = await run(['ls-remote', '--symref', '--', url, ...patterns], LIST_MS)
      const lines = listed.split('\n').map(line => line.split('\t'))
      const head = lines.find(([value, name]) => name === 'HEAD' && value?.startsWith('ref: '))?.[0]
      const defaultBranch = /^ref: refs\/heads\/(.+)$/.exec(head ?? '')?.[1] ?? null
      const followed = branch ?? defaultBranch
      const tip = lines.find(([, name]) => followed !== null && name === `refs/heads/${followed}`)?.[0]
      return { defaultBranch, tip: tip === undefined ? null : Revision.parse(tip) }
    },

    async fetch(ref, mirror) {
      const flags = ['--quiet', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance', '--refmap=']
      const refspec = `+${ref}:${incomingRef(ref)}`
      try {
        await run(['fetch', ...flags, '--no-recurse-submodules', '--', url, refspec], FETCH_MS)
      } catch (error) {
        if (error instanceof BallastError && error.code === 'GIT_REMOTE_BRANCH_MISSING') return null
        throw error
      }
      const { stdout } = await runGit(mirror, ['rev-parse', '--verify', `${incomingRef(ref)}^{commit}`])
      return Revision.parse(stdout.trim())
    },

    async push(branch, at) {
      const ref = `refs/heads/${branch}`
      const args = ['push', '--porcelain', '--no-verify', '--', url, `${ref}:${ref}`]
      const { exitCode, stdout, stderr } = await run(args, FETCH_MS, at)
      if (exitCode !== 0) throw pushRejected(url, branch, `${stdout}\n${stderr}`)
    },

    close: () => ending.abort(),
  }
}

/** git gives it to a shell, and ssh takes `%` and blanks in its options apart once more. */
function composeSsh({ keyFile, knownHostsFile, connectTimeout = 10 }: SshRemoteOptions): string {
  const options = [
    `IdentityFile=${sshPath(keyFile)}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `UserKnownHostsFile=${sshPath(knownHostsFile)}`,
    'GlobalKnownHostsFile=/dev/null',
    'UpdateHostKeys=no',
    'StrictHostKeyChecking=yes',
    'BatchMode=yes',
    'PreferredAuthentications=publickey',
    'ForwardAgent=no',
    'ClearAllForwardings=yes',
    `ConnectTimeout=${connectTimeout}`,
    'ServerAliveInterval=10',
    'ServerAliveCountMax=3',
  ]
  // -F: nothing of what this user's or machine's configuration says.
  return ['ssh', '-F', '/dev/null', ...options.flatMap(option => ['-o', option])].map(quote).join(' ')
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`
const sshPath = (path: string): string => `"${path.replaceAll('%', '%%').replaceAll(/["\\]/g, '\\$&')}"`

interface Reason {
  readonly pattern: RegExp
  readonly code: string
  readonly what: string
  readonly hint: string
}

const REASONS: readonly Reason[] = [
  {
    pattern: /couldn't find remote ref/,
    code: 'GIT_REMOTE_BRANCH_MISSING',
    what: 'has no such branch',
    hint: 'Name another branch.',
  },
  {
    pattern: /Host key verification failed|No .* host key is known|REMOTE HOST IDENTIFICATION HAS CHANGED/,
    code: 'GIT_REMOTE_UNTRUSTED',
    what: 'shows a host key that is not in the file of known hosts',
    hint: 'Compare the key with what its operator publishes, then put it into the file of --git-known-hosts-file.',
  },
  {
    pattern: /Permission denied|Load key .*: |UNPROTECTED PRIVATE KEY/,
    code: 'GIT_REMOTE_UNAUTHORIZED',
    what: 'refuses the key',
    hint: 'Add its public half as a deploy key with read access; the file must be readable by its owner alone and have no passphrase.',
  },
  {
    pattern: /does not appear to be a git repository|[Rr]epository .*not found|not a git repository/,
    code: 'GIT_REMOTE_NOT_FOUND',
    what: 'does not exist',
    hint: 'Compare the address; forges say this also of what a key may not see.',
  },
  {
    pattern:
      /Could not resolve hostname|Connection refused|Connection (closed|reset|timed out)|No route to host|timed out|Network is unreachable|kex_exchange_identification|banner exchange/,
    code: 'GIT_REMOTE_UNREACHABLE',
    what: 'cannot be reached',
    hint: 'It is tried again.',
  },
]

/** Of git, whatever went wrong. */
const ADVICE = /^(Please make sure you have|and the repository exists|fatal: Could not read from remote)/

function explain(url: string, cause: unknown): unknown {
  if (!(cause instanceof BallastError)) return cause
  const fault = (code: string, what: string, hint: string): BallastError =>
    new BallastError({ code, message: `${url} ${what}`, hint, retryable: true, cause })
  if (cause.code === 'COMMAND_TIMED_OUT') {
    return fault('GIT_REMOTE_TIMED_OUT', 'did not answer in time', 'See whether the server is overloaded.')
  }
  if (cause.code !== 'COMMAND_FAILED') return cause
  const said = String((cause.cause as { stderr?: unknown } | undefined)?.stderr ?? cause.message)
  const reason = REASONS.find(({ pattern }) => pattern.test(said))
  if (reason !== undefined) return fault(reason.code, reason.what, reason.hint)
  const lines = said.split(/[\r\n]+/).filter(line => line.trim() !== '' && !ADVICE.test(line))
  const why = lines.slice(0, 3).join('; ').slice(0, 300)
  return fault('GIT_REMOTE_FAILED', `did not hand out everything: ${why}`, 'It is tried again.')
}
