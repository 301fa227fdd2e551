import type { App } from './app.ts'
import { answerProblem } from './problem.ts'

/** By the digest of a plan, or the id of a revision: whoever has the one or the other has read the same in the forge. */
const NAMES = { plans: /^[0-9a-f]{64}$/, revisions: /^[0-9a-f]{40}$/ } as const
export type PageKind = keyof typeof NAMES

/** Pages that comments and statuses in the forge lead to. `read` gives null for what is not kept. */
export function addPages(app: App, read: (kind: PageKind, id: string) => Promise<string | null>): void {
  for (const kind of Object.keys(NAMES) as PageKind[])
    app.get(`/pages/${kind}/:id`, async context => {
      const id = context.req.param('id')
      const page = NAMES[kind].test(id) ? await read(kind, id) : null
      if (page !== null) return context.html(page)
      return answerProblem(context, {
        status: 404,
        code: 'PAGE_UNKNOWN',
        detail: 'This reconciler keeps no such page: it is old, or another one made it.',
      })
    })
}
