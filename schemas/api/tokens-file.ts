import { z } from 'zod'
import { Digest } from '../want.ts'

/** `read` sees everything; `operate` may also ask for a look at the repository. */
export const Role = z.enum(['read', 'operate'])
export type Role = z.infer<typeof Role>

export const ApiToken = z.strictObject({
  name: z.string().min(1).max(100).meta({ description: 'Whose it is; shown in the log.' }),
  role: Role.meta({ description: '`read`, or `operate`, which may do more.' }),
  sha256: Digest.meta({ description: 'SHA-256 of the token, in lower-case hex; never the token itself.' }),
})
export type ApiToken = z.infer<typeof ApiToken>

/** The file that `apiTokensFile` names. */
export const TokensFile = z.strictObject({
  tokens: z.array(ApiToken).max(1000).meta({ description: 'Who may use the API.' }),
})
export type TokensFile = z.infer<typeof TokensFile>
