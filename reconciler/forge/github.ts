import { Octokit } from '@octokit/core'
import type { Revision } from '../../schemas/want.ts'
import type { CommitStatus, Forge, ForgeOptions, PullRequest } from './forge.ts'
import { ANSWER_WITHIN_MS, cut, type FailedAnswer, forgeFailure } from './forge-failure.ts'
import { type FoundComment, putOwnComment } from './own-comment.ts'

const PAGE = 100
const MOST_PAGES = 30
const DESCRIPTION = 140

/** GitHub and GitHub Enterprise Server (docs.github.com, "REST API": issues/comments, commits/statuses, pulls). */
export function createGitHub(options: ForgeOptions): Forge {
  const [owner = '', repo = ''] = options.project.split('/')
  const where = { owner, repo }

  async function call<Answer>(work: (client: Octokit) => Promise<{ data: Answer }>): Promise<Answer> {
    const client = new Octokit({
      auth: await options.token(),
      baseUrl: options.url.replace(/\/+$/, ''),
      userAgent: 'ballast',
      request: { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) },
      log: { debug() {}, info() {}, warn() {}, error() {} },
    })
    try {
      return (await work(client)).data
    } catch (error) {
      throw forgeFailure(options, answerOf(error), error)
    }
  }

  async function* listComments(number: number): AsyncGenerator<FoundComment> {
    for (let page = 1; page <= MOST_PAGES; page += 1) {
      const comments = await call(client =>
        client.request('GET /repos/{owner}/{repo}/issues/{issue_number}/comments', {
          ...where,
          issue_number: number,
          per_page: PAGE,
          page,
        }),
      )
      for (const { id, body, user } of comments)
        yield {
          id: Number(id),
          body: body ?? '',
          author: { id: user ? Number(user.id) : undefined, isBot: user?.type === 'Bot' },
        }
      if (comments.length < PAGE) return
    }
  }

  return {
    async readPull(number): Promise<PullRequest> {
      const pull = await call(client =>
        client.request('GET /repos/{owner}/{repo}/pulls/{pull_number}', { ...where, pull_number: number }),
      )
      return {
        number,
        title: pull.title,
        state: pull.merged ? 'merged' : pull.state,
        into: pull.base.ref,
        head: pull.head.sha,
        isFork: pull.head.repo?.full_name !== pull.base.repo.full_name,
        url: pull.html_url,
      }
    },

    async putComment(number, marker, body) {
      await putOwnComment(marker, {
        list: () => listComments(number),
        create: () =>
          call(client =>
            client.request('POST /repos/{owner}/{repo}/issues/{issue_number}/comments', {
              ...where,
              issue_number: number,
              body,
            }),
          ),
        edit: id =>
          call(client =>
            client.request('PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}', {
              ...where,
              comment_id: id,
              body,
            }),
          ),
        whoAmI: async () => Number((await call(client => client.request('GET /user'))).id),
        // That is refused to the token of a job and to those of Apps, whose comments are a bot's.
        mayBeOurs: ({ isBot }) => isBot,
      })
    },

    async putStatus(revision: Revision, { context, state, description, url }: CommitStatus) {
      await call(client =>
        client.request('POST /repos/{owner}/{repo}/statuses/{sha}', {
          ...where,
          sha: revision,
          state,
          context,
          description: cut(description, DESCRIPTION),
          ...(url !== null && { target_url: url }),
        }),
      )
    },

    async openPull({ from, into, title, body }) {
      const open = await call(client =>
        client.request('GET /repos/{owner}/{repo}/pulls', {
          ...where,
          state: 'open',
          head: `${owner}:${from}`,
          base: into,
        }),
      )
      const [pull] = open
      if (pull !== undefined) return { url: pull.html_url }
      const made = await call(client =>
        client.request('POST /repos/{owner}/{repo}/pulls', { ...where, head: from, base: into, title, body }),
      )
      return { url: made.html_url }
    },
  }
}

/** The client gives 500 for a connection that failed too. */
function answerOf(error: unknown): FailedAnswer | null {
  const { status, response } = error as {
    status?: unknown
    response?: { headers: Record<string, string | number | undefined> }
  }
  if (typeof status !== 'number') return null
  return { status, header: name => response?.headers[name]?.toString() ?? null }
}
