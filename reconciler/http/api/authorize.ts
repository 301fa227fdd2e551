import type { ApiToken, Role } from '../../../schemas/api/tokens-file.ts'
import type { AppContext } from '../app.ts'
import { answerProblem, type ProblemInput, tooMany } from '../problem.ts'
import type { RateLimit } from '../rate-limit.ts'
import { findToken } from './tokens.ts'

export interface AuthorizeOptions {
  /** None: nobody may. */
  readonly tokens: () => readonly ApiToken[]
  readonly requests: RateLimit
  readonly failures: RateLimit
}

/** Lets a request by when its bearer token (RFC 6750) has the role, or one that may more. */
export function createAuthorizer({ tokens, requests, failures }: AuthorizeOptions) {
  return (role: Role) =>
    async (context: AppContext, next: () => Promise<void>): Promise<Response | undefined> => {
      const source = context.get('source').counted
      const wait = (await requests.count(source)) ?? (await failures.look(source))
      if (wait !== null) return answerProblem(context, tooMany(wait))
      const found = identify(context.req.header('authorization'), tokens())
      if ('status' in found) {
        await failures.count(source)
        return answerProblem(context, found)
      }
      if (role === 'operate' && found.role !== 'operate') return answerProblem(context, notAllowed(found))
      context.set('token', found)
      await next()
      return undefined
    }
}

function identify(header: string | undefined, tokens: readonly ApiToken[]): ApiToken | ProblemInput {
  if (header === undefined) {
    return unauthorized('TOKEN_MISSING', '', 'Send a token as Authorization: Bearer TOKEN.')
  }
  const [, token] = /^Bearer +([\w.~+/=-]{1,1024}) *$/i.exec(header) ?? []
  const found = token === undefined ? null : findToken(tokens, token)
  return found ?? unauthorized('TOKEN_UNKNOWN', ', error="invalid_token"', 'This token is none of ours.')
}

const unauthorized = (code: string, error: string, detail: string): ProblemInput => ({
  status: 401,
  code,
  detail,
  headers: { 'www-authenticate': `Bearer realm="ballast"${error}` },
})

const notAllowed = ({ name, role }: ApiToken): ProblemInput => ({
  status: 403,
  code: 'ROLE_TOO_LOW',
  detail: `The token of ${name} has the role ${role}; this needs operate.`,
  headers: { 'www-authenticate': 'Bearer realm="ballast", error="insufficient_scope", scope="operate"' },
})
