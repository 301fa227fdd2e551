import { giteaApi } from 'gitea-js'
import type { CommitStatus, Forge, ForgeOptions } from './forge.ts'
import { ANSWER_WITHIN_MS, cut, forgeFailure } from './forge-failure.ts'
import { type FoundComment, putOwnComment } from './own-comment.ts'

const PAGE = 50
const MOST_PAGES = 60
const DESCRIPTION = 255

/** Gitea and Forgejo (docs.gitea.com, "API": /repos/{owner}/{repo}/issues, /pulls, /statuses). */
export function createGitea(options: ForgeOptions): Forge {
  const [owner = '', repo = ''] = options.project.split('/')

  async function call<Answer>(work: (client: Client) => Promise<{ data: Answer }>): Promise<Answer> {
    const client = giteaApi(options.url.replace(/\/+$/, ''), {
      token: await options.token(),
      customFetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) }),
    })
    try {
      return (await work(client)).data
    } catch (error) {
      // What was answered is thrown as it is.
      const answer =
        error !== null && typeof error === 'object' && 'status' in error ? (error as Response) : null
      const message = (error as { error?: { message?: string } } | null)?.error?.message
      const cause = error instanceof Error ? error : new Error(message ?? 'no reason given')
      throw forgeFailure(
        options,
        answer && { status: answer.status, header: name => answer.headers.get(name) },
        cause,
      )
    }
  }

  async function* listComments(number: number): AsyncGenerator<FoundComment> {
    const comments = await call(client => client.repos.issueGetComments(owner, repo, number))
    for (const { id, body, user } of comments)
      yield { id: id ?? 0, body: body ?? '', author: { id: user?.id, isBot: false } }
  }

  async function findOpenPull(from: string, into: string): Promise<string | null> {
    for (let page = 1; page <= MOST_PAGES; page += 1) {
      const open = await call(client =>
        client.repos.repoListPullRequests(owner, repo, { state: 'open', page, limit: PAGE }),
      )
      const found = open.find(({ head, base }) => head?.ref === from && base?.ref === into)
      if (found !== undefined) return found.html_url ?? ''
      if (open.length < PAGE) return null
    }
    return null
  }

  return {
    async readPull(number) {
      const pull = await call(client => client.repos.repoGetPullRequest(owner, repo, number))
      return {
        number,
        title: pull.title ?? '',
        state: pull.merged === true ? 'merged' : pull.state === 'open' ? 'open' : 'closed',
        into: pull.base?.ref ?? '',
        head: pull.head?.sha ?? '',
        isFork: pull.head?.repo?.full_name !== pull.base?.repo?.full_name,
        url: pull.html_url ?? '',
      }
    },

    async putComment(number, marker, body) {
      await putOwnComment(marker, {
        list: () => listComments(number),
        create: () => call(client => client.repos.issueCreateComment(owner, repo, number, { body })),
        edit: id => call(client => client.repos.issueEditComment(owner, repo, id, { body })),
        whoAmI: async () => (await call(client => client.user.userGetCurrent())).id,
        // It needs a scope of its own (read:user).
        mayBeOurs: () => true,
      })
    },

    async putStatus(revision, { context, state, description, url }: CommitStatus) {
      await call(client =>
        client.repos.repoCreateStatus(owner, repo, revision, {
          context,
          state,
          description: cut(description, DESCRIPTION),
          ...(url !== null && { target_url: url }),
        }),
      )
    },

    async openPull({ from, into, title, body }) {
      const url = await findOpenPull(from, into)
      if (url !== null) return { url }
      const made = await call(client =>
        client.repos.repoCreatePullRequest(owner, repo, { head: from, base: into, title, body }),
      )
      return { url: made.html_url ?? '' }
    },
  }
}

type Client = ReturnType<typeof giteaApi>
