import { GitbeakerRequestError, GitbeakerRetryError, GitbeakerTimeoutError, Gitlab } from '@gitbeaker/rest'
import type { CommitStatus, Forge, ForgeOptions } from './forge.ts'
import { ANSWER_WITHIN_MS, cut, type FailedAnswer, forgeFailure } from './forge-failure.ts'
import { putOwnComment } from './own-comment.ts'

const DESCRIPTION = 255
const STATES = { pending: 'pending', success: 'success', failure: 'failed', error: 'failed' } as const

/** GitLab (docs.gitlab.com, "REST API": merge requests, notes, commits). A merge request's number is its iid. */
export function createGitLab(options: ForgeOptions): Forge {
  const { project } = options

  async function call<Answer>(work: (client: Client) => Promise<Answer>): Promise<Answer> {
    const client = new Gitlab({
      host: options.url.replace(/\/+$/, ''),
      token: await options.token(),
      queryTimeout: ANSWER_WITHIN_MS,
    })
    try {
      return await work(client)
    } catch (error) {
      throw forgeFailure(options, answerOf(error), error)
    }
  }

  return {
    async readPull(number) {
      const pull = await call(client => client.MergeRequests.show(project, number))
      return {
        number,
        title: pull.title,
        state: pull.state === 'merged' ? 'merged' : pull.state === 'opened' ? 'open' : 'closed',
        into: String(pull.target_branch),
        head: pull.sha,
        isFork: pull.source_project_id !== pull.target_project_id,
        url: String(pull.web_url),
      }
    },

    async putComment(number, marker, body) {
      await putOwnComment(marker, {
        async *list() {
          const notes = await call(client =>
            client.MergeRequestNotes.all(project, number, {
              sort: 'asc',
              orderBy: 'created_at',
              maxPages: 30,
            }),
          )
          for (const { id, body, author, system } of notes)
            if (!system) yield { id, body, author: { id: author?.id, isBot: false } }
        },
        create: () => call(client => client.MergeRequestNotes.create(project, number, body)),
        edit: id => call(client => client.MergeRequestNotes.edit(project, number, id, { body })),
        whoAmI: async () => (await call(client => client.Users.showCurrentUser())).id,
        mayBeOurs: () => true,
      })
    },

    async putStatus(revision, { context, state, description, url }: CommitStatus) {
      await call(client =>
        client.Commits.editStatus(project, revision, STATES[state], {
          context,
          description: cut(description, DESCRIPTION),
          ...(url !== null && { targetUrl: url }),
        }),
      ).catch((error: unknown) => {
        // GitLab refuses to say again what it says already.
        if (!isSaidAlready(error)) throw error
      })
    },

    async openPull({ from, into, title, body }) {
      const open = await call(client =>
        client.MergeRequests.all({
          projectId: project,
          state: 'opened',
          sourceBranch: from,
          targetBranch: into,
        }),
      )
      const [pull] = open
      if (pull !== undefined) return { url: String(pull.web_url) }
      const made = await call(client =>
        client.MergeRequests.create(project, from, into, title, { description: body }),
      )
      return { url: String(made.web_url) }
    },
  }
}

type Client = InstanceType<typeof Gitlab>

function answerOf(error: unknown): FailedAnswer | null {
  if (error instanceof GitbeakerTimeoutError) return null
  // After ten tries within a quarter of a second; it keeps no more of the answer than this.
  if (error instanceof GitbeakerRetryError && error.message.includes('status code: 429'))
    return { status: 429, header: () => null }
  const response = error instanceof GitbeakerRequestError ? error.cause?.response : undefined
  return response === undefined
    ? null
    : { status: response.status, header: name => response.headers.get(name) }
}

const isSaidAlready = (error: unknown): boolean =>
  error instanceof Error && error.message.includes('Cannot transition status')
