import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import { type SettingName, Settings, type SettingsFile } from '../../schemas/settings.ts'
import { checkSettings } from '../config/check-settings.ts'
import { findSchemaProblems } from '../manifest/find-schema-problems.ts'
import { CommandFailure } from './outcome.ts'
import { renderDiagnostics } from './print.ts'

const DEFAULTS = {
  path: '',
  pollInterval: 10_000,
  githubApi: 'https://api.github.com',
  verify: [],
  driftBranch: 'ballast/drift',
  driftCommitAfter: 5000,
  driftAuthor: 'ballast <ballast@localhost>',
  driftSubjectSuffix: '[skip ci]',
  stateDir: '/var/lib/ballast',
  runtimeDir: '/run/ballast',
  driver: 'kernel',
  bpffs: '/sys/fs/bpf',
  scanInterval: 2000,
  reportInterval: 10_000,
  bgpDaemon: 'bird',
  birdSocket: '/run/bird/bird.ctl',
  gobgpApi: '127.0.0.1:50051',
  gobgpApiDir: fileURLToPath(new URL('../drivers/bgp/gobgp/api', import.meta.url)),
  bgpSecretsDir: '/etc/ballast/secrets',
  withdrawAfter: 0,
  counterInterval: 10_000,
  logLevel: 'info',
  logFormat: 'text',
  bpfObject: fileURLToPath(new URL('../../bpf/build/lb.bpf.o', import.meta.url)),
} as const satisfies { readonly [S in SettingName]?: Settings[S] }

/** Flags and variables are text; these settings are numbers. */
const NUMBERS: readonly SettingName[] = [
  'withdrawAfter',
  'scanInterval',
  'reportInterval',
  'counterInterval',
  'pollInterval',
  'driftCommitAfter',
]

/** Have no form on one line: they are read from the file alone. */
const IN_FILE_ALONE: readonly SettingName[] = ['verify', 'driftSigningKey', 'alerts']

/** Settings that were asked for: those with a default and those required are there. */
type Read<N extends SettingName, R extends SettingName> = {
  readonly [S in N]: S extends R | keyof typeof DEFAULTS ? Settings[S] : Settings[S] | undefined
}

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
const environmentName = (name: string): string => `BALLAST_${kebab(name).replaceAll('-', '_').toUpperCase()}`

/** Adds settings to a command, as flags with their environment variables, and `--config`. */
export const SETTINGS_HEADING = 'Settings (docs/deployment.md):'

export function addSettings(command: Command, names: readonly SettingName[]): Command {
  const file = new Option('--config <file>', 'settings as YAML').env('BALLAST_CONFIG')
  command.addOption(file.helpGroup(SETTINGS_HEADING))
  for (const name of names) {
    if (IN_FILE_ALONE.includes(name)) continue
    const schema: z.ZodType = Settings.shape[name]
    const option = new Option(`--${kebab(name)} <value>`, schema.meta()?.description ?? '').env(
      environmentName(name),
    )
    const standard = (DEFAULTS as SettingsFile)[name]
    if (standard !== undefined) option.default(standard)
    command.addOption(option.helpGroup(SETTINGS_HEADING))
  }
  return command
}

/**
 * The settings of a command that was called: flags before environment before file before defaults.
 * Throws `CommandFailure` that lists everything wrong with them.
 */
export function readSettings<N extends SettingName, R extends N = never>(
  command: Command,
  names: readonly N[],
  required: readonly R[] = [],
): Read<N, R> {
  const options = command.opts<Record<string, string | undefined>>()
  const fromFile = options.config === undefined ? {} : readConfigFile(options.config)
  const values: Record<string, unknown> = {}
  const problems: string[] = []
  for (const name of names) {
    const source = command.getOptionValueSource(name)
    const given = source === 'cli' || source === 'env' ? options[name] : undefined
    const value = given ?? fromFile[name] ?? options[name] ?? (DEFAULTS as SettingsFile)[name]
    if (value === undefined) {
      if ((required as readonly SettingName[]).includes(name)) problems.push(missing(name))
      continue
    }
    const read = given !== undefined && NUMBERS.includes(name) ? Number(given) : value
    const parsed = Settings.shape[name].safeParse(read)
    if (parsed.success) values[name] = parsed.data
    else problems.push(...describe(name, read, parsed.error))
  }
  if (problems.length > 0) throw new CommandFailure(problems.join('\n'))
  return values as Read<N, R>
}

/** The same settings, as flags for another run of this program. */
export const writeFlags = (settings: SettingsFile, names: readonly SettingName[]): string[] =>
  names.flatMap(name => {
    const value = settings[name]
    return value === undefined || IN_FILE_ALONE.includes(name) ? [] : [`--${kebab(name)}=${String(value)}`]
  })

const missing = (name: string): string =>
  `--${kebab(name)} is missing. Give it as a flag, as ${environmentName(name)}, or as ${name} in the file of --config.`

function describe(name: SettingName, value: unknown, error: z.ZodError): string[] {
  const issues = error.issues.map(issue => ({ ...issue, path: [name, ...issue.path] }))
  return Array.from(
    findSchemaProblems(Settings, { [name]: value }, issues),
    ({ message, hint }) => `--${kebab(name)}: ${message} ${hint}`,
  )
}

function readConfigFile(file: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new CommandFailure(`--config: ${file} cannot be read (${(error as Error).message}).`)
  }
  const { settings, diagnostics } = checkSettings(file, text)
  if (diagnostics.length > 0) throw new CommandFailure(renderDiagnostics(diagnostics))
  return settings
}
