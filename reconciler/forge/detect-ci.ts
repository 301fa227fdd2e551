import { z } from 'zod'
import type { ForgeKind } from './forge.ts'

/** What a CI job's environment says of the pull request that it runs for; what it does not say is undefined. */
export interface CiJob {
  readonly kind: ForgeKind
  readonly url: string | undefined
  readonly project: string | undefined
  readonly pull: number | undefined
  /** The branch that it is to be merged into. */
  readonly into: string | undefined
  /** The commit that is proposed; what is checked out may be another. */
  readonly head: string | undefined
  readonly token: string | undefined
  /** Where people see the job: its log, and what it leaves. */
  readonly jobUrl: string | undefined
  /** Markdown that is appended to this file is shown with the job. */
  readonly summaryFile: string | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

const PullEvent = z.object({
  number: z.int().min(1).optional(),
  pull_request: z
    .object({
      number: z.int().min(1),
      base: z.object({ ref: z.string() }),
      head: z.object({ sha: z.string() }),
    })
    .optional(),
})

/**
 * GitHub Actions ("Variables reference"), Gitea and Forgejo Actions (the same names, and one of their own), GitLab CI
 * ("Predefined CI/CD variables reference"). `readFile` is for the file that describes the event. Null: none of them.
 */
export function detectCi(env: Environment, readFile: (file: string) => string): CiJob | null {
  if (env.GITLAB_CI === 'true') return readGitLab(env)
  if (env.GITHUB_ACTIONS !== 'true') return null
  const isGitea = env.GITEA_ACTIONS === 'true' || env.FORGEJO_ACTIONS === 'true'
  const event = readEvent(env.GITHUB_EVENT_PATH, readFile)
  const byRef = /^refs\/pull\/(\d+)\//.exec(env.GITHUB_REF ?? '')?.[1]
  return {
    kind: isGitea ? 'gitea' : 'github',
    url: filled(isGitea ? env.GITHUB_SERVER_URL : env.GITHUB_API_URL),
    project: filled(env.GITHUB_REPOSITORY),
    pull: event?.pull_request?.number ?? event?.number ?? (byRef === undefined ? undefined : Number(byRef)),
    into: event?.pull_request?.base.ref ?? filled(env.GITHUB_BASE_REF),
    head: event?.pull_request?.head.sha,
    token: filled(isGitea ? (env.GITEA_TOKEN ?? env.GITHUB_TOKEN) : env.GITHUB_TOKEN),
    jobUrl: runUrl(env.GITHUB_SERVER_URL, env.GITHUB_REPOSITORY, env.GITHUB_RUN_ID),
    summaryFile: filled(env.GITHUB_STEP_SUMMARY),
  }
}

function readGitLab(env: Environment): CiJob {
  const iid = filled(env.CI_MERGE_REQUEST_IID)
  return {
    kind: 'gitlab',
    url: filled(env.CI_SERVER_URL),
    project: filled(env.CI_MERGE_REQUEST_PROJECT_PATH) ?? filled(env.CI_PROJECT_PATH),
    pull: iid === undefined ? undefined : Number(iid),
    into: filled(env.CI_MERGE_REQUEST_TARGET_BRANCH_NAME),
    // Empty unless what is checked out is the result of the merge.
    head: filled(env.CI_MERGE_REQUEST_SOURCE_BRANCH_SHA) ?? filled(env.CI_COMMIT_SHA),
    token: filled(env.GITLAB_TOKEN),
    jobUrl: filled(env.CI_JOB_URL),
    summaryFile: undefined,
  }
}

function readEvent(file: string | undefined, readFile: (file: string) => string) {
  if (filled(file) === undefined) return undefined
  try {
    return PullEvent.safeParse(JSON.parse(readFile(file!))).data
  } catch {
    return undefined
  }
}

const runUrl = (...parts: readonly (string | undefined)[]): string | undefined => {
  const [server, project, run] = parts.map(filled)
  return server === undefined || project === undefined || run === undefined
    ? undefined
    : `${server}/${project}/actions/runs/${run}`
}

const filled = (text: string | undefined): string | undefined => (text === '' ? undefined : text)
