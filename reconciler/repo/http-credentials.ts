import { createGitHubApp, type GitHubAppOptions } from './github-app.ts'
import type { HttpClient } from './http-client.ts'
import { readSecret } from './read-secret.ts'

/** Who we are to a Git server over HTTP. All secrets are names of files. */
export type HttpCredentials =
  | { readonly kind: 'none' }
  /** A personal, project or deploy token: sent as the password of Basic, which all forges take. */
  | { readonly kind: 'token'; readonly file: string; readonly user: string | undefined }
  | { readonly kind: 'basic'; readonly user: string; readonly passwordFile: string }
  | ({ readonly kind: 'github-app' } & GitHubAppOptions)

export interface Authorizer {
  /** Value of the header `Authorization`; null: none is sent. Throws `SECRET_UNREADABLE` and what asking for a token throws. */
  header(): Promise<string | null>
  /** The server refused what was sent: nothing kept is used again. */
  refused(): void
}

export function createAuthorizer(credentials: HttpCredentials, client: HttpClient): Authorizer {
  switch (credentials.kind) {
    case 'none':
      return { header: async () => null, refused() {} }
    case 'token':
      return {
        // GitHub and GitLab look at the password alone, and want some user.
        header: async () => basic(credentials.user ?? 'x-access-token', await readSecret(credentials.file)),
        refused() {},
      }
    case 'basic':
      return {
        header: async () => basic(credentials.user, await readSecret(credentials.passwordFile)),
        refused() {},
      }
    case 'github-app': {
      const app = createGitHubApp(credentials, client)
      return { header: async () => basic('x-access-token', await app.token()), refused: app.forget }
    }
  }
}

/** RFC 7617 */
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
