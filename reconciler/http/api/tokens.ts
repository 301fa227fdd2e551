import { createHash, timingSafeEqual } from 'node:crypto'
import { type ApiToken, TokensFile } from '../../../schemas/api/tokens-file.ts'
import { findYamlProblems } from '../../manifest/find-yaml-problems.ts'
import { readYaml } from '../../manifest/read-yaml.ts'

/** A tokens file's tokens, or what is wrong with it, at line and field. */
export function parseTokens(text: string): { value: readonly ApiToken[] } | { problem: string } {
  const { documents, spotOf } = readYaml(text)
  const document = documents[0]
  if (document === undefined || documents.length > 1) return { problem: 'it is not one YAML document' }
  for (const { message, offset } of findYamlProblems(document)) {
    return { problem: `line ${spotOf(offset).line}: ${message}` }
  }
  const parsed = TokensFile.safeParse(document.toJS())
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return { problem: `${issue?.path.join('.') || 'it'}: ${issue?.message}` }
  }
  const { tokens } = parsed.data
  const digests = new Set(tokens.map(({ sha256 }) => sha256))
  return digests.size === tokens.length ? { value: tokens } : { problem: 'two tokens are the same' }
}

/** Whose token this is. Looks at all of them, so that the time does not tell which. */
export function findToken(tokens: readonly ApiToken[], token: string): ApiToken | null {
  const digest = createHash('sha256').update(token).digest()
  return tokens.filter(({ sha256 }) => timingSafeEqual(Buffer.from(sha256, 'hex'), digest))[0] ?? null
}
