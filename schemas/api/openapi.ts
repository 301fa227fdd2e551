import { z } from 'zod'
import { FleetStatus, NodeStatus } from '../fleet-status.ts'
import { FleetPlan } from '../plan.ts'
import { NodeReport } from '../report.ts'
import { RevisionState } from '../revision-state.ts'
import { DriftList, ReconcileAnswer, ReportList, RevisionAnswer } from './answers.ts'
import { ApiEvent } from './event.ts'
import { OPERATIONS, type Operation } from './operations.ts'
import { Problem } from './problem.ts'
import { Liveness, Readiness } from './readiness.ts'
import { WebhookAnswer } from './webhook.ts'

const SCHEMAS = {
  FleetStatus,
  NodeStatus,
  FleetPlan,
  NodeReport,
  RevisionState,
  ReportList,
  DriftList,
  RevisionAnswer,
  ReconcileAnswer,
  ApiEvent,
  Problem,
  Liveness,
  Readiness,
  WebhookAnswer,
} as const

const PLACE = '#/components/schemas/'

const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'What was sent cannot be read.',
  401: 'Who asks is not known: no token or signature, or a wrong one.',
  403: 'The role does not allow it.',
  404: 'There is no such thing.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  422: 'No plan can be made of these revisions.',
  429: 'Too many requests; see Retry-After.',
  503: 'Not now: Redis does not answer, or too much is under way.',
}

/** The OpenAPI 3.1 document of everything that the reconciler answers, as JSON text. */
export function renderOpenApi(): string {
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Ballast',
      version: '1.0.0',
      description: 'State, plans, reports and events of a fleet of layer-4 load balancers; webhooks.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The reconciler (setting `listen`).' }],
    paths: Object.fromEntries(
      Object.entries(OPERATIONS).map(([route, methods]) => [
        route,
        Object.fromEntries(Object.entries(methods).map(([method, each]) => [method, renderOperation(each)])),
      ]),
    ),
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'A token of apiTokensFile; roles: read, operate.',
        },
      },
    },
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function renderOperation({ summary, role, answers, problems, parameters, requestBody }: Operation): object {
  const good = Object.entries(answers).map(([status, { description, schema, type = 'application/json' }]) => [
    status,
    {
      description,
      content: { [type]: schema === undefined ? schemaOfType(type) : { schema: { $ref: PLACE + schema } } },
    },
  ])
  const bad = problems.map(status => [
    status,
    {
      description: PROBLEMS[status],
      content: { 'application/problem+json': { schema: { $ref: `${PLACE}Problem` } } },
    },
  ])
  return {
    summary: role === undefined ? summary : `${summary} (role: ${role})`,
    ...(parameters !== undefined && { parameters }),
    ...(requestBody !== undefined && { requestBody }),
    responses: Object.fromEntries([...good, ...bad]),
    security: role === undefined ? [] : [{ bearer: [role] }],
  }
}

const schemaOfType = (type: string): object => ({
  schema: { type: type === 'application/json' ? 'object' : 'string' },
})

/** Schemas that are used in several places refer to each other; none says where it is by itself. */
function componentSchemas(): Record<string, object> {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, { uri: id => PLACE + id })
  const { __shared, ...named } = schemas as Record<string, { $defs?: Record<string, object> }>
  const shared = Object.entries(__shared?.$defs ?? {}).map(([id, schema]) => [nameOfShared(id), schema])
  const text = JSON.stringify({ ...named, ...Object.fromEntries(shared) })
    .replaceAll(
      /"\$ref":"[^"]*__shared#\/\$defs\/([^"]+)"/g,
      (_, id) => `"$ref":"${PLACE}${nameOfShared(id)}"`,
    )
    .replaceAll(/"\$(schema|id)":"[^"]*",?/g, '')
  return JSON.parse(text)
}

const nameOfShared = (id: string): string => `Shared${id.replace(/^schema/, '')}`
