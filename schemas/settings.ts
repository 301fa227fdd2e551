import { z } from 'zod'

/**
 * What a machine's operator decides, for all commands: as a flag (`--state-dir`), in the environment
 * (`BALLAST_STATE_DIR`) or in one YAML file (`stateDir`), in this order. Secrets are never values here, only files.
 */
export const Settings = z.strictObject({
  repo: z
    .string()
    .min(1)
    .meta({ description: 'The Git repository with the manifests, bare or working: a folder.' }),
  branch: z.string().min(1).meta({ description: 'The branch that is followed.' }),
  path: z
    .string()
    .meta({ description: 'The folder inside the repository that holds the manifests; empty for all of it.' }),
  stateDir: z.string().min(1).meta({ description: 'Where this machine keeps what must survive a restart.' }),
  redis: z
    .string()
    .regex(/^(redis|rediss|unix):/, 'is no redis://, rediss:// or unix: address')
    .meta({
      description:
        'redis://host:port/db, rediss://…, or unix:/path. Without it: a redis-server of our own in the state directory.',
    }),
  redisPasswordFile: z.string().min(1).meta({ description: 'A file that holds the password of Redis.' }),
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
  listen: z
    .string()
    .regex(/^(unix:\/.+|(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):\d{1,5})$/, 'is neither host:port nor unix:/path')
    .meta({
      description:
        'Where HTTP is answered: host:port (an IPv6 address in brackets) or unix:/path. Without it: nowhere.',
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
