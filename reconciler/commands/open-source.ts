import type { Settings } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Log } from '../log/log.ts'
import type { HttpCredentials } from '../repo/http-credentials.ts'
import { openSource, type Source } from '../repo/source.ts'
import { CommandFailure } from './outcome.ts'

/** What a command needs to open the repository. */
export const SOURCE_SETTINGS = [
  'repo',
  'branch',
  'stateDir',
  'pollInterval',
  'gitTokenFile',
  'gitUser',
  'gitPasswordFile',
  'gitCaFile',
  'gitProxy',
  'gitProxyPasswordFile',
  'gitSshKeyFile',
  'gitKnownHostsFile',
  'githubAppId',
  'githubInstallationId',
  'githubKeyFile',
  'githubApi',
] as const

type Required = 'repo' | 'stateDir' | 'pollInterval' | 'githubApi'
type Optional = Exclude<(typeof SOURCE_SETTINGS)[number], Required>
export type SourceSettings = { readonly [S in Required]: Settings[S] } & {
  readonly [S in Optional]: Settings[S] | undefined
}

/** Throws what `openSource` throws, and `CommandFailure` for settings that do not go together. */
export const openConfiguredSource = (settings: SourceSettings, log: Log): Promise<Source> =>
  openSource({
    branch: settings.branch,
    stateDir: settings.stateDir,
    pollInterval: settings.pollInterval,
    ...accessTo(settings),
    log,
  })

/** Of a name that Git knows. Throws `CommandFailure` for one that was not fetched. */
export async function resolveFetched(source: Source, name: string): Promise<Revision> {
  const revision = await source.repository.resolve(name)
  if (revision === null)
    throw new CommandFailure(`${name} is no revision of ${source.address} that was fetched.`)
  return revision
}

/** How the repository is reached. Throws `CommandFailure` for settings that do not go together. */
export const accessTo = (settings: SourceSettings) => ({
  repo: settings.repo,
  http: {
    credentials: chooseCredentials(settings),
    caFile: settings.gitCaFile,
    proxy: settings.gitProxy,
    proxyPasswordFile: settings.gitProxyPasswordFile,
  },
  ssh: { keyFile: settings.gitSshKeyFile, knownHostsFile: settings.gitKnownHostsFile },
})

function chooseCredentials(settings: SourceSettings): HttpCredentials {
  const { gitTokenFile, gitUser, gitPasswordFile, githubAppId, githubInstallationId, githubKeyFile } =
    settings
  const app = [githubAppId, githubInstallationId, githubKeyFile]
  const ways = [gitTokenFile, gitPasswordFile, app.find(part => part !== undefined)]
  if (ways.filter(way => way !== undefined).length > 1) {
    throw new CommandFailure(
      'Give one of --git-token-file, --git-password-file and the settings of a GitHub App, not several.',
    )
  }
  if (githubAppId !== undefined && githubInstallationId !== undefined && githubKeyFile !== undefined) {
    return {
      kind: 'github-app',
      appId: githubAppId,
      installationId: githubInstallationId,
      keyFile: githubKeyFile,
      api: settings.githubApi,
    }
  }
  if (app.some(part => part !== undefined)) {
    throw new CommandFailure(
      'A GitHub App needs all three: --github-app-id, --github-installation-id, --github-key-file.',
    )
  }
  if (gitTokenFile !== undefined) return { kind: 'token', file: gitTokenFile, user: gitUser }
  if (gitPasswordFile === undefined) return { kind: 'none' }
  if (gitUser === undefined) throw new CommandFailure('--git-password-file needs --git-user.')
  return { kind: 'basic', user: gitUser, passwordFile: gitPasswordFile }
}
