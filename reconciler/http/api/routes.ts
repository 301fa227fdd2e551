import {
  type DriftList,
  PlanQuery,
  type ReconcileAnswer,
  type ReportList,
  type RevisionAnswer,
} from '../../../schemas/api/answers.ts'
import { renderOpenApi } from '../../../schemas/api/openapi.ts'
import type { DriftRecord } from '../../../schemas/drift-record.ts'
import type { FleetStatus } from '../../../schemas/fleet-status.ts'
import type { FleetPlan } from '../../../schemas/plan.ts'
import type { NodeReport } from '../../../schemas/report.ts'
import type { App, AppContext } from '../app.ts'
import { answerProblem } from '../problem.ts'
import type { createAuthorizer } from './authorize.ts'

/** What the API shows; each may throw a `BallastError`. */
export interface FleetView {
  readStatus(): Promise<FleetStatus>
  readReports(): Promise<readonly NodeReport[]>
  /** Of all nodes and of the fleet, open and healed. */
  readDrift(): Promise<readonly DriftRecord[]>
  /** A text: why no plan can be made of these revisions. */
  plan(query: PlanQuery): Promise<FleetPlan | string>
}

export interface ApiOptions {
  readonly fleet: FleetView
  readonly authorize: ReturnType<typeof createAuthorizer>
  readonly streamEvents: (context: AppContext) => Response
  readonly look: () => void
}

/** Plans take seconds of a large fleet: one is made at a time, and few wait. */
const PLANS_WAITING = 4

export function addApi(app: App, { fleet, authorize, streamEvents, look }: ApiOptions): void {
  const openApi = renderOpenApi()
  const plan = createPlanner(fleet)
  const [read, operate] = [authorize('read'), authorize('operate')]

  app.get('/api/v1/openapi.json', context =>
    context.body(openApi, 200, { 'content-type': 'application/json' }),
  )
  app.get('/api/v1/state', read, async context => context.json(await fleet.readStatus()))
  app.get('/api/v1/nodes/:name', read, async context => {
    const { nodes } = await fleet.readStatus()
    const node = nodes.find(({ name }) => name === context.req.param('name'))
    if (node !== undefined) return context.json(node)
    const detail = 'No node of this name is wanted or has reported.'
    return answerProblem(context, { status: 404, code: 'NODE_UNKNOWN', detail })
  })
  app.get('/api/v1/plan', read, async context => {
    const query = PlanQuery.safeParse(context.req.query())
    if (!query.success) {
      const detail = query.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`).join('; ')
      return answerProblem(context, { status: 400, code: 'QUERY_INVALID', detail })
    }
    const made = await plan(query.data)
    if (made === null) {
      return answerProblem(context, {
        status: 503,
        code: 'BUSY',
        detail: 'Other plans are being made.',
        headers: { 'retry-after': '5' },
      })
    }
    if (typeof made !== 'string') return context.json(made)
    return answerProblem(context, { status: 422, code: 'PLAN_IMPOSSIBLE', detail: made })
  })
  app.get('/api/v1/reports', read, async context => {
    const reports = [...(await fleet.readReports())].sort((a, b) => (a.node < b.node ? -1 : 1))
    return context.json({ reports } satisfies ReportList)
  })
  app.get('/api/v1/drift', read, async context => {
    const drift = [...(await fleet.readDrift())]
    return context.json({ drift } satisfies DriftList)
  })
  app.get('/api/v1/revisions', read, async context => {
    const { repository } = await fleet.readStatus()
    return context.json({ repository } satisfies RevisionAnswer)
  })
  app.get('/api/v1/events', read, streamEvents)
  app.post('/api/v1/reconcile', operate, context => {
    look()
    return context.json({ result: 'looking' } satisfies ReconcileAnswer, 202)
  })
}

/** Null: too many are waiting. */
function createPlanner(fleet: FleetView) {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return async (query: PlanQuery): Promise<FleetPlan | string | null> => {
    if (waiting > PLANS_WAITING) return null
    waiting++
    const made = last.then(() => fleet.plan(query))
    last = made.catch(() => {})
    try {
      return await made
    } finally {
      waiting--
    }
  }
}
