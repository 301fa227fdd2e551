import { z } from 'zod'
import { AlertSettings, SigningKeySetting } from './drift-settings.ts'
import { parseRedisAddress } from './redis-address.ts'

const file = (description: string) => z.string().min(1).meta({ description })

/** Whose signatures commits need, and which commits. */
export const VerifyRule = z.strictObject({
  branch: z.string().min(1).optional().meta({ description: 'A branch or glob; all branches when left out.' }),
  paths: z
    .array(z.string().regex(/^[^:/].*$/, 'is no path from the root of the repository'))
    .min(1)
    .optional()
    .meta({ description: 'Files, folders or globs from the root of the repository; all when left out.' }),
  signers: z
    .union([
      z.strictObject({ ssh: file('A file of allowed signers, as ssh-keygen(1) describes it.') }),
      z.strictObject({ gpg: file('A file of public keys, as gpg --export writes it.') }),
    ])
    .meta({ description: 'Who may sign.' }),
})
export type VerifyRule = z.infer<typeof VerifyRule>

/**
 * What a machine's operator decides, for all commands: as a flag (`--state-dir`), in the environment
 * (`BALLAST_STATE_DIR`) or in one YAML file (`stateDir`), in this order. Secrets are never values here, only files.
 */
export const Settings = z.strictObject({
  repo: z.string().min(1).meta({
    description:
      'The Git repository with the manifests: a folder, https://host/path, ssh://user@host/path or user@host:path.',
  }),
  branch: z.string().min(1).meta({
    description: 'The branch that is followed. Without it: the default branch, as it is when first seen.',
  }),
  path: z
    .string()
    .meta({ description: 'The folder inside the repository that holds the manifests; empty for all of it.' }),
  pollInterval: z
    .int()
    .min(100)
    .max(3_600_000)
    .meta({ description: 'How often a remote repository is asked for news, ms.' }),
  gitTokenFile: file('A file with the token for a repository over HTTPS.'),
  gitUser: z.string().min(1).meta({ description: 'The user for a repository over HTTPS.' }),
  gitPasswordFile: file('A file with the password of --git-user.'),
  gitCaFile: file('The authorities that sign for a repository over HTTPS, PEM, in place of the usual ones.'),
  gitProxy: z
    .string()
    .regex(/^https?:\/\/([^/@:]+@)?[^/@]+\/?$/, 'is no http://[user@]host:port')
    .meta({ description: 'The proxy on the way to a repository over HTTPS: http://[user@]host:port.' }),
  gitProxyPasswordFile: file('A file with the password for the proxy.'),
  gitSshKeyFile: file('The deploy key for a repository over SSH, without a passphrase.'),
  gitKnownHostsFile: file('The host keys that are trusted for a repository over SSH, as known_hosts.'),
  githubAppId: z
    .string()
    .regex(/^[\w.-]+$/, 'is no id')
    .meta({
      description: 'The id of a GitHub App that may read the repository.',
    }),
  githubInstallationId: z.string().regex(/^\d+$/, 'is no number').meta({
    description: 'The installation of the GitHub App.',
  }),
  githubKeyFile: file('The private key of the GitHub App, PEM.'),
  githubApi: z
    .string()
    .regex(/^https?:\/\/[^\s/@]+(\/\S*)?$/, 'is no URL')
    .meta({ description: 'Where the GitHub App asks for its token.' }),
  verify: z.array(VerifyRule).meta({
    description: 'Commits that must be signed, and by whom; in the file of --config alone.',
  }),
  forge: z.enum(['github', 'gitlab', 'gitea']).meta({
    description: 'Where pull requests are reviewed; gitea is Forgejo too. Without it: nowhere.',
  }),
  forgeUrl: z.url({ protocol: /^https?$/ }).meta({
    description:
      'The address of its interface: https://api.github.com, https://gitlab.example.org, https://gitea.example.org.',
    examples: ['https://api.github.com'],
  }),
  forgeProject: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)+$/, 'is no owner/name')
    .meta({ description: 'The project there: owner/name; of GitLab the whole path.' }),
  forgeTokenFile: file(
    'A file with a token that may write comments on pull requests and statuses of commits.',
  ),
  driftBranch: z
    .string()
    .regex(/^$|^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/, 'is no name of a branch')
    .meta({
      description: 'The branch that drift is committed to, never the one that is followed; empty: nowhere.',
      examples: ['ballast/drift', ''],
    }),
  driftRepo: z.string().min(1).meta({
    description:
      'The repository that drift is committed to, in the forms of --repo; without it the one of --repo.',
  }),
  driftTokenFile: file('A file with the token to push drift over HTTPS, in place of --git-token-file.'),
  driftSshKeyFile: file('The key to push drift over SSH, in place of --git-ssh-key-file.'),
  driftCommitAfter: z.int().min(0).max(3_600_000).meta({
    description: 'Drift that heals within so many ms is told by one commit when it has healed.',
  }),
  driftAuthor: z
    .string()
    .regex(/^[^<>\n]+ <[^<>\s]+>$/, 'is no Name <address>')
    .meta({ description: 'Who commits drift.', examples: ['Ballast <ballast@example.org>'] }),
  driftSubjectSuffix: z
    .string()
    .regex(/^[^\n]*$/, 'has more than one line')
    .meta({ description: 'Ends the first line of commits of drift; by default it keeps CI from running.' }),
  driftSigningKey: SigningKeySetting.meta({
    description: 'The key that commits of drift are signed with; in the file of --config alone.',
  }),
  alerts: AlertSettings.meta({
    description: 'Who is told of drift, and of which; in the file of --config alone.',
  }),
  stateDir: z.string().min(1).meta({ description: 'Where this machine keeps what must survive a restart.' }),
  runtimeDir: z.string().min(1).meta({
    description: 'Where a worker keeps what a boot must forget, with a folder for each node: on a tmpfs.',
  }),
  redis: z
    .string()
    .check(({ value, issues }) => {
      const problem = parseRedisAddress(value)
      if (typeof problem === 'string') issues.push({ code: 'custom', message: problem, input: value })
    })
    .meta({
      description:
        'redis://user@host:port/db, redis+sentinel://host:port,…/master, redis+cluster://host:port,… (rediss… for TLS), or unix:/path. Without it: a redis-server of our own in the state directory.',
      examples: [
        'redis://ballast@redis.example.org:6379/0',
        'rediss+sentinel://one.example.org:26379,two.example.org:26379/ballast',
        'redis+cluster://one.example.org:6379,two.example.org:6379',
        'unix:/run/redis/redis.sock',
      ],
    }),
  redisUser: z.string().min(1).meta({ description: 'The user of Redis, in place of the one in --redis.' }),
  redisPasswordFile: file('A file that holds the password of Redis.'),
  redisSentinelPasswordFile: file('A file that holds the password of the Sentinels.'),
  redisCaFile: file('The authorities that sign for Redis over TLS, PEM, in place of the usual ones.'),
  redisCertFile: file('Our own certificate for Redis over TLS, PEM.'),
  redisKeyFile: file('The private key of --redis-cert-file, PEM.'),
  node: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'is no name of a Node')
    .meta({ description: "This machine's Node, as its manifest names it." }),
  driver: z.enum(['kernel', 'simulated']).meta({
    description:
      'kernel: the real dataplane. simulated: tables in a file, for a laptop without root and for tests of scale.',
  }),
  bpffs: z.string().min(1).meta({
    description: 'The BPF file system that programs and maps are pinned on; mounted there if need be.',
  }),
  bpfObject: z.string().min(1).meta({ description: 'The compiled load balancer, lb.bpf.o.' }),
  fleetKeyFile: z
    .string()
    .min(1)
    .meta({ description: 'A file of 16 bytes, the secret of the ring hash; the same on all nodes.' }),
  scanInterval: z
    .int()
    .min(100)
    .max(3_600_000)
    .meta({ description: 'How often a worker looks for drift, ms.' }),
  reportInterval: z.int().min(500).max(10_000).meta({
    description:
      'How often a worker reports though nothing has changed, ms: as old may be what gates of a rollout go by.',
  }),
  listen: z
    .string()
    .regex(/^(unix:\/.+|(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):\d{1,5})$/, 'is neither host:port nor unix:/path')
    .meta({
      description:
        'Where HTTP is answered: host:port (an IPv6 address in brackets) or unix:/path. Without it: nowhere.',
    }),
  publicUrl: z
    .string()
    .regex(/^https?:\/\/[^\s?#]+$/, 'is no address that begins with https:// or http://')
    .meta({
      description:
        'Where people reach what the reconciler answers by HTTP. With it, comments and statuses in the forge lead to pages of the whole plan, or of all problems.',
    }),
  webhookSecretFile: z.string().min(1).meta({
    description:
      'A file of the secrets that webhooks are signed with, one per line. Without it: no webhooks.',
  }),
  apiTokensFile: z.string().min(1).meta({
    description:
      'A YAML file of who may use /api/v1: name, role and SHA-256 of each token. Without it: nobody.',
  }),
  trustedProxies: z
    .string()
    .regex(
      /^(unix|[0-9a-fA-F:.]+(\/\d{1,3})?)(,(unix|[0-9a-fA-F:.]+(\/\d{1,3})?))*$/,
      'is no list of addresses',
    )
    .meta({
      description:
        'Proxies whose X-Forwarded-For is believed: addresses and prefixes, with commas; `unix` for those on the unix socket.',
    }),
  bgpDaemon: z.enum(['bird', 'gobgp']).meta({
    description: 'The BGP daemon that runs on the node; that of the Node manifest must be the same.',
  }),
  birdSocket: z.string().min(1).meta({ description: 'The control socket of BIRD.' }),
  gobgpApi: z
    .string()
    .regex(/^(unix:\/\/\/\S+|\S+:\d+)$/, 'is neither host:port nor unix:///path')
    .meta({ description: 'What `--api-hosts` of gobgpd says: host:port, or unix:///path.' }),
  gobgpApiDir: z.string().min(1).meta({
    description: 'The folder with the definitions of the interface of GoBGP 3; a release has its own.',
  }),
  bgpSecretsDir: z.string().min(1).meta({
    description: 'The folder with the password files that BgpPeers name.',
  }),
  withdrawAfter: z.int().min(0).max(86_400).meta({
    description:
      'Seconds without a sign of the worker after which the watchdog withdraws what the node announces; 0: never, since the dataplane forwards on.',
  }),
  counterInterval: z
    .int()
    .min(0)
    .max(3_600_000)
    .meta({ description: 'How often a worker reads and publishes packet counters, ms; 0: never.' }),
  logLevel: z
    .enum(['silent', 'error', 'warn', 'info', 'debug', 'trace'])
    .meta({ description: 'How much is told on stderr.' }),
  logFormat: z.enum(['text', 'json']).meta({ description: 'text for people, json for programs.' }),
})
export type Settings = z.infer<typeof Settings>
export type SettingName = keyof Settings

/** A configuration file: any of the settings. */
export const SettingsFile = Settings.partial()
export type SettingsFile = z.infer<typeof SettingsFile>
