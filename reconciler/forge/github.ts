import { Octokit } from '@octokit/core'
import type { Revision } from '../../schemas/want.ts'
import type { CommitStatus, Forge, ForgeOptions, PullRequest } from './forge.ts'
import { ANSWER_WITHIN_MS, cut, forgeFailure } from './forge-failure.ts'

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
      const { status } = error as { status?: unknown }
      // The client gives 500 for a connection that failed too.
      throw forgeFailure(options, typeof status === 'number' ? status : null, error)
    }
  }

  async function findComment(number: number, marker: string): Promise<number | null> {
    for (let page = 1; page <= MOST_PAGES; page += 1) {
      const comments = await call(client =>
        client.request('GET /repos/{owner}/{repo}/issues/{issue_number}/comments', {
          ...where,
          issue_number: number,
          per_page: PAGE,
          page,
        }),
      )
      const found = comments.find(({ body }) => body?.includes(marker))
      if (found !== undefined) return Number(found.id)
      if (comments.length < PAGE) return null
    }
    return null
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
      const found = await findComment(number, marker)
      if (found === null)
        await call(client =>
          client.request('POST /repos/{owner}/{repo}/issues/{issue_number}/comments', {
            ...where,
            issue_number: number,
            body,
          }),
        )
      else
        await call(client =>
          client.request('PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}', {
            ...where,
            comment_id: found,
            body,
          }),
        )
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
