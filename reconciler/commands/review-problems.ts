import { BallastError } from '../../schemas/ballast-error.ts'
import type { Revision } from '../../schemas/want.ts'
import { COMMENT_MARKER } from '../render/render-markdown.ts'
import { invalidLine } from './print.ts'

const PROBLEMS_SHOWN = 20_000

/** What a person who proposed something that is no plan is told. */
export function reviewProblems(problems: string, headline = 'this cannot be merged as it is') {
  const shown = problems.length > PROBLEMS_SHOWN ? `${problems.slice(0, PROBLEMS_SHOWN)}\n…` : problems
  const text = shown.trimEnd().replaceAll('```', "'''")
  const lines = text.split('\n').filter(line => line !== '')
  // What is wrong says more than the line that introduces it.
  const description = lines.find(line => / error /.test(line)) ?? lines[0] ?? ''
  return {
    comment: `${COMMENT_MARKER}\n### 🔴 Ballast: ${headline}\n\n\`\`\`\n${text}\n\`\`\`\n`,
    marker: COMMENT_MARKER,
    status: { state: 'failure', description, url: null },
  } as const
}

export const isInvalid = ({ stderr }: { readonly stderr: string }, revision: Revision): boolean =>
  stderr.includes(invalidLine(revision))

/**
 * What is said of a plan that was not made, by what `ballast plan` wrote. Throws `PLAN_FAILED` unless it is for what is
 * proposed: that Redis is away, for instance, is not the fault of who proposes, nor theirs to read.
 */
export function reviewFailure(stderr: string, head: Revision) {
  const from = stderr.indexOf(invalidLine(head))
  if (from !== -1) return reviewProblems(stderr.slice(from))
  throw new BallastError({
    code: 'PLAN_FAILED',
    message: `The plan of ${head} could not be made: ${stderr.trim()}`,
    hint: 'It is tried again a few times, and when the pull request has news.',
    retryable: true,
  })
}
