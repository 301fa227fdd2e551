import { COMMENT_MARKER } from '../render/render-markdown.ts'

const PROBLEMS_SHOWN = 20_000

/** What a person who proposed something that is no plan is told. */
export function reviewProblems(problems: string) {
  const shown = problems.length > PROBLEMS_SHOWN ? `${problems.slice(0, PROBLEMS_SHOWN)}\n…` : problems
  const text = shown.trimEnd().replaceAll('```', "'''")
  const lines = text.split('\n').filter(line => line !== '')
  // What is wrong says more than the line that introduces it.
  const description = lines.find(line => / error /.test(line)) ?? lines[0] ?? ''
  return {
    comment: `${COMMENT_MARKER}\n### 🔴 Ballast: this cannot be merged as it is\n\n\`\`\`\n${text}\n\`\`\`\n`,
    marker: COMMENT_MARKER,
    status: { state: 'failure', description, url: null },
  } as const
}
