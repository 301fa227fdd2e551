import { z } from 'zod'
import { RecordKind } from './drift-kind.ts'
import { NodeSelector } from './manifest/service.ts'

const hasCredentials = (text: string): boolean => {
  const { username = '', password = '' } = URL.parse(text) ?? {}
  return username !== '' || password !== ''
}

const file = (description: string) => z.string().min(1).meta({ description })
const url = (description: string) =>
  z
    .url({ protocol: /^https?$/ })
    .refine(text => !hasCredentials(text), 'must hold no user and no password; secrets are in files')
    .meta({ description, examples: ['https://alerts.example.org'] })

/** The key that commits of drift are signed with. */
export const SigningKeySetting = z.union([
  z.strictObject({ ssh: file('A private key of SSH without a passphrase.') }),
  z.strictObject({ gpg: file('A private key without a passphrase, as gpg --export-secret-keys writes it.') }),
])
export type SigningKeySetting = z.infer<typeof SigningKeySetting>

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
  .meta({ description: 'What rules and `ballast alerts test` name it by.' })

/** Who is told of drift. Secrets are always names of files. */
export const AlertReceiver = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('alertmanager'),
    name,
    url: url('Of Alertmanager, without /api/v2.'),
    tokenFile: file('A file with a bearer token.').optional(),
  }),
  z.strictObject({
    type: z.literal('slack'),
    name,
    urlFile: file('A file with the address of an incoming webhook, as Slack, Mattermost and others take it.'),
  }),
  z.strictObject({
    type: z.literal('webhook'),
    name,
    url: url('Gets each notification as JSON by POST.'),
    secretFile: file('A file with the secret that notifications are signed with (HMAC-SHA256).').optional(),
  }),
  z.strictObject({
    type: z.literal('command'),
    name,
    command: z.array(z.string().min(1)).min(1).meta({
      description: 'A program and its arguments; gets each notification as JSON on standard input.',
    }),
  }),
])
export type AlertReceiver = z.infer<typeof AlertReceiver>

/** Which drift is told, and to whom. */
export const AlertRule = z
  .strictObject({
    receivers: z.array(name).min(1).optional().meta({ description: 'By name; all when left out.' }),
    kinds: z.array(RecordKind).min(1).optional().meta({ description: 'Kinds of drift; all when left out.' }),
    nodes: NodeSelector.optional().meta({ description: 'Which nodes; all when left out.' }),
    services: z
      .array(z.string())
      .min(1)
      .optional()
      .meta({ description: 'Names of Services; all drift when left out.' }),
    minShare: z.number().min(0).max(1).default(0).meta({
      description: 'The smallest share of flows affected, from 0 to 1. What is not known counts as 1.',
    }),
    after: z
      .int()
      .min(0)
      .default(0)
      .meta({ description: 'ms that drift must last; 0 tells also of what was repaired at once.' }),
    severity: z.string().min(1).default('warning').meta({ description: 'A label of the alert.' }),
  })
  .meta({ description: 'Which drift is told, and to whom.' })
export type AlertRule = z.infer<typeof AlertRule>

export const AlertSettings = z.strictObject({
  receivers: z.array(AlertReceiver),
  rules: z.array(AlertRule).default([]).meta({
    description: 'The first that matches counts, for each receiver. Without any, all drift is told to all.',
  }),
})
export type AlertSettings = z.infer<typeof AlertSettings>
