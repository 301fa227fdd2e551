import { z } from 'zod'
import { PlanQuery } from './answers.ts'
import { Forge } from './webhook.ts'

export interface Answer {
  readonly description: string
  readonly schema?: string
  readonly type?: string
}

/** What is answered at one place; `schema` names one of the components. */
export interface Operation {
  readonly summary: string
  readonly role?: 'read' | 'operate'
  readonly answers: Readonly<Record<number, Answer>>
  readonly problems: readonly number[]
  readonly parameters?: readonly object[]
  readonly requestBody?: object
}

const path = (name: string, schema: object): object => ({ name, in: 'path', required: true, schema })
const guarded = [401, 403, 429, 503]

/** By route and method; the server has exactly these (a test compares). */
export const OPERATIONS: Readonly<Record<string, Readonly<Partial<Record<'get' | 'post', Operation>>>>> = {
  '/healthz': {
    get: {
      summary: 'Whether the process is alive',
      answers: { 200: { description: 'It is.', schema: 'Liveness' } },
      problems: [],
    },
  },
  '/readyz': {
    get: {
      summary: 'Whether it can do its work',
      answers: {
        200: { description: 'It can.', schema: 'Readiness' },
        503: { description: 'It cannot, and why.', schema: 'Readiness' },
      },
      problems: [],
    },
  },
  '/metrics': {
    get: {
      summary: 'Metrics for Prometheus',
      answers: { 200: { description: 'In its text format.', type: 'text/plain' } },
      problems: [],
    },
  },
  '/pages/plans/{id}': {
    get: {
      summary: 'A plan that a comment in the forge leads to, with pictures',
      parameters: [path('id', { type: 'string', pattern: '^[0-9a-f]{64}$' })],
      answers: { 200: { description: 'A page.', type: 'text/html' } },
      problems: [404],
    },
  },
  '/pages/revisions/{id}': {
    get: {
      summary: 'All that keeps a revision from the nodes',
      parameters: [path('id', { type: 'string', pattern: '^[0-9a-f]{40}$' })],
      answers: { 200: { description: 'A page.', type: 'text/html' } },
      problems: [404],
    },
  },
  '/webhook/{forge}': {
    post: {
      summary: 'A forge tells of a push; the branch is looked at',
      parameters: [path('forge', { type: 'string', enum: Forge.options })],
      requestBody: {
        description: "The forge's own payload, signed as docs/http.md says.",
        required: true,
        content: { 'application/json': { schema: { type: 'object' } } },
      },
      answers: { 202: { description: 'It was taken.', schema: 'WebhookAnswer' } },
      problems: [400, 401, 404, 413, 415, 429, 503],
    },
  },
  '/api/v1/openapi.json': {
    get: {
      summary: 'This document',
      answers: { 200: { description: 'OpenAPI 3.1.', type: 'application/json' } },
      problems: [],
    },
  },
  '/api/v1/state': {
    get: {
      summary: 'What the nodes want and hold, and what differs',
      role: 'read',
      answers: { 200: { description: 'As `ballast status --json` prints it.', schema: 'FleetStatus' } },
      problems: guarded,
    },
  },
  '/api/v1/nodes/{name}': {
    get: {
      summary: 'One node of it',
      role: 'read',
      parameters: [path('name', { type: 'string', minLength: 1 })],
      answers: { 200: { description: 'The node.', schema: 'NodeStatus' } },
      problems: [...guarded, 404],
    },
  },
  '/api/v1/plan': {
    get: {
      summary: 'What a revision does to live traffic',
      role: 'read',
      parameters: queryParameters(PlanQuery),
      answers: { 200: { description: 'As `ballast plan --json` prints it.', schema: 'FleetPlan' } },
      problems: [...guarded, 400, 422],
    },
  },
  '/api/v1/reports': {
    get: {
      summary: 'The latest report of every node',
      role: 'read',
      answers: { 200: { description: 'By name.', schema: 'ReportList' } },
      problems: guarded,
    },
  },
  '/api/v1/drift': {
    get: {
      summary: 'What differs on the nodes, and what only the fleet as a whole shows',
      role: 'read',
      answers: {
        200: { description: 'As `ballast drift --all --json` prints it.', schema: 'DriftList' },
      },
      problems: guarded,
    },
  },
  '/api/v1/revisions': {
    get: {
      summary: 'What was seen, accepted and refused of the repository',
      role: 'read',
      answers: { 200: { description: 'Where it stands.', schema: 'RevisionAnswer' } },
      problems: guarded,
    },
  },
  '/api/v1/events': {
    get: {
      summary: 'What happens, as server-sent events',
      role: 'read',
      parameters: [
        {
          name: 'Last-Event-ID',
          in: 'header',
          required: false,
          description: 'Go on after this event.',
          schema: { type: 'string' },
        },
      ],
      answers: {
        200: {
          description: "Each event's data is one ApiEvent, its name the event's type.",
          type: 'text/event-stream',
        },
      },
      problems: guarded,
    },
  },
  '/api/v1/reconcile': {
    post: {
      summary: 'Look at the branch now',
      role: 'operate',
      answers: { 202: { description: 'It is looked at.', schema: 'ReconcileAnswer' } },
      problems: guarded,
    },
  },
}

function queryParameters(query: typeof PlanQuery): object[] {
  const { properties = {} } = z.toJSONSchema(query, { io: 'input' })
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as { description?: string }
    return { name, in: 'query', required: false, description, schema: rest }
  })
}
