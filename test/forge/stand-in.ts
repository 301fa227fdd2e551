import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { createAdaptorServer } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import type { ForgeKind } from '../../reconciler/forge/forge.ts'

/**
 * A forge that speaks what is documented of the interfaces of GitHub, GitLab and Gitea: the paths, fields and status
 * codes that a review needs, one project, one token.
 */
export interface StandIn {
  readonly url: string
  readonly token: string
  readonly project: string
  readonly pulls: Pull[]
  /** Of all pull requests, in the order in which they were written. */
  readonly comments: Comment[]
  /** By commit, then by context: the latest. */
  readonly statuses: Map<string, Map<string, Status>>
  /** `METHOD path`, in order. */
  readonly requests: string[]
  /** Given to every request while set. */
  failWith: number | null
  /** Goes with it. */
  failHeaders: Record<string, string>
  /** Does not say whose the token is, as GitHub does not to the token of a job. */
  anonymous: boolean
  /** Comments that may not be edited. */
  readonly protected: Set<number>
  /** Refuses to write, as to the token of a fork's job. */
  readOnly: boolean
}

interface Pull {
  number: number
  title: string
  body: string
  state: 'open' | 'closed'
  merged: boolean
  from: string
  into: string
  head: string
  fork: boolean
}

interface Comment {
  id: number
  pull: number
  body: string
  by: number
}

/** Of the user whose the token is. */
export const OURSELVES = 7

interface Status {
  state: string
  description: string
  url: string | null
}

export const PROJECT = 'network/policy'

export async function startStandIn(t: Pick<TestContext, 'after'>, kind: ForgeKind): Promise<StandIn> {
  const forge: StandIn = {
    url: '',
    token: `token-of-${kind}`,
    project: PROJECT,
    pulls: [],
    comments: [],
    statuses: new Map(),
    requests: [],
    failWith: null,
    failHeaders: {},
    anonymous: false,
    readOnly: false,
    protected: new Set(),
  }
  const app = new Hono()
  app.use(async (context, next) => {
    forge.requests.push(`${context.req.method} ${new URL(context.req.url).pathname}`)
    if (forge.failWith !== null)
      return context.json({ message: 'out of order' }, forge.failWith as 500, forge.failHeaders)
    const shown = { github: 'authorization', gitea: 'authorization', gitlab: 'private-token' }[kind]
    if (!(context.req.header(shown) ?? '').endsWith(forge.token))
      return context.json({ message: 'who?' }, 401)
    if (forge.readOnly && context.req.method !== 'GET')
      return context.json({ message: 'Resource not accessible by integration' }, 403)
    return next()
  })
  const root = { github: '', gitlab: '/api/v4', gitea: '/api/v1' }[kind]
  app.get(`${root}/user`, context =>
    forge.anonymous
      ? context.json({ message: 'Resource not accessible by integration' }, 403)
      : context.json({ id: OURSELVES, login: 'ballast' }),
  )
  const routes = { github: addGitHub, gitlab: addGitLab, gitea: addGitea }
  routes[kind](app, forge)
  const server = createAdaptorServer({ fetch: app.fetch })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    if ('closeAllConnections' in server) server.closeAllConnections()
  })
  return Object.assign(forge, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

function addGitHub(app: Hono, forge: StandIn): void {
  const at = `/repos/${PROJECT}`
  addGitHubShaped(app, forge, at, context => Number(context.req.query('per_page') ?? 30))
  app.patch(`${at}/issues/comments/:id`, context => editComment(context, forge))
}

function addGitea(app: Hono, forge: StandIn): void {
  const at = `/api/v1/repos/${PROJECT}`
  // All comments of an issue come at once.
  addGitHubShaped(app, forge, at, () => Number.POSITIVE_INFINITY)
  app.patch(`${at}/issues/comments/:id`, context => editComment(context, forge))
}

function addGitHubShaped(app: Hono, forge: StandIn, at: string, perPage: (context: Context) => number): void {
  const show = (pull: Pull) => ({
    number: pull.number,
    title: pull.title,
    state: pull.state,
    merged: pull.merged,
    html_url: `${forge.url}/${PROJECT}/pull/${pull.number}`,
    head: { ref: pull.from, sha: pull.head, repo: { full_name: pull.fork ? 'someone/policy' : PROJECT } },
    base: { ref: pull.into, repo: { full_name: PROJECT } },
  })
  app.get(`${at}/pulls/:number`, context => {
    const pull = findPull(forge, context.req.param('number'))
    return pull === undefined ? context.json({ message: 'Not Found' }, 404) : context.json(show(pull))
  })
  app.get(`${at}/pulls`, context => {
    const head = context.req.query('head')?.split(':').at(-1)
    const found = forge.pulls.filter(
      ({ state, from }) => state === (context.req.query('state') ?? 'open') && (head ?? from) === from,
    )
    return context.json(found.map(show))
  })
  app.post(`${at}/pulls`, async context => {
    const { head, base, title, body } = await context.req.json()
    return context.json(show(addPull(forge, { from: head, into: base, title, body })), 201)
  })
  app.get(`${at}/issues/:number/comments`, context => {
    const size = perPage(context)
    const page = Number(context.req.query('page') ?? 1)
    const all = forge.comments
      .filter(({ pull }) => pull === Number(context.req.param('number')))
      .map(({ by, ...comment }) => ({
        ...comment,
        user: { id: by, type: by === OURSELVES ? 'Bot' : 'User' },
      }))
    return context.json(size === Number.POSITIVE_INFINITY ? all : all.slice((page - 1) * size, page * size))
  })
  app.post(`${at}/issues/:number/comments`, async context => {
    const { body } = await context.req.json()
    return context.json(addComment(forge, Number(context.req.param('number')), body, OURSELVES), 201)
  })
  app.post(`${at}/statuses/:sha`, async context => {
    const { state, description, target_url, context: name } = await context.req.json()
    if (!['pending', 'success', 'failure', 'error'].includes(state))
      return context.json({ message: 'Validation Failed' }, 422)
    setStatus(forge, context.req.param('sha'), name, { state, description, url: target_url ?? null })
    return context.json({ state }, 201)
  })
}

function addGitLab(app: Hono, forge: StandIn): void {
  const at = `/api/v4/projects/${encodeURIComponent(PROJECT)}`
  const show = (pull: Pull) => ({
    iid: pull.number,
    title: pull.title,
    state: pull.merged ? 'merged' : pull.state === 'open' ? 'opened' : 'closed',
    target_branch: pull.into,
    source_branch: pull.from,
    sha: pull.head,
    source_project_id: pull.fork ? 2 : 1,
    target_project_id: 1,
    web_url: `${forge.url}/${PROJECT}/-/merge_requests/${pull.number}`,
  })
  app.get(`${at}/merge_requests/:iid`, context => {
    const pull = findPull(forge, context.req.param('iid'))
    return pull === undefined ? context.json({ message: '404 Not found' }, 404) : context.json(show(pull))
  })
  app.get(`${at}/merge_requests`, context => {
    const from = context.req.query('source_branch')
    const open = forge.pulls.filter(pull => pull.state === 'open' && (from ?? pull.from) === pull.from)
    return context.json(open.map(show))
  })
  app.post(`${at}/merge_requests`, async context => {
    const { source_branch, target_branch, title, description } = await readFields(context)
    return context.json(
      show(
        addPull(forge, {
          from: String(source_branch),
          into: String(target_branch),
          title: String(title),
          body: String(description),
        }),
      ),
      201,
    )
  })
  app.get(`${at}/merge_requests/:iid/notes`, context => {
    const size = Number(context.req.query('per_page') ?? 20)
    const page = Number(context.req.query('page') ?? 1)
    const all = forge.comments
      .filter(({ pull }) => pull === Number(context.req.param('iid')))
      .map(({ id, body, by }) => ({ id, body, author: { id: by }, system: false }))
    if (page * size < all.length)
      context.header(
        'link',
        `<${forge.url}${at}/merge_requests/${context.req.param('iid')}/notes?page=${page + 1}&per_page=${size}>; rel="next"`,
      )
    return context.json(all.slice((page - 1) * size, page * size))
  })
  app.post(`${at}/merge_requests/:iid/notes`, async context => {
    const { body } = await readFields(context)
    return context.json(addComment(forge, Number(context.req.param('iid')), String(body), OURSELVES), 201)
  })
  app.put(`${at}/merge_requests/:iid/notes/:id`, context => editComment(context, forge))
  app.post(`${at}/statuses/:sha`, async context => {
    const { state, description, target_url, context: name } = await readFields(context)
    const [sha, said] = [context.req.param('sha'), String(name)]
    if (!['pending', 'running', 'success', 'failed', 'canceled'].includes(String(state)))
      return context.json({ message: 'state does not have a valid value' }, 400)
    if (forge.statuses.get(sha)?.get(said)?.state === state)
      return context.json({ message: 'Cannot transition status via :run from :running' }, 400)
    setStatus(forge, sha, said, {
      state: String(state),
      description: String(description),
      url: target_url === undefined ? null : String(target_url),
    })
    return context.json({ status: state }, 201)
  })
}

async function readFields(context: Context): Promise<Record<string, unknown>> {
  const body = await context.req.text()
  const written = body.startsWith('{') ? JSON.parse(body) : Object.fromEntries(new URLSearchParams(body))
  return { ...context.req.query(), ...written }
}

const findPull = (forge: StandIn, number: string | undefined): Pull | undefined =>
  forge.pulls.find(pull => pull.number === Number(number))

export function addPull(forge: StandIn, given: Partial<Pull>): Pull {
  const pull: Pull = {
    number: forge.pulls.length + 1,
    title: 'a change',
    body: '',
    state: 'open',
    merged: false,
    from: 'change',
    into: 'main',
    head: 'a'.repeat(40),
    fork: false,
    ...given,
  }
  forge.pulls.push(pull)
  return pull
}

export function addComment(forge: StandIn, pull: number, body: string, by = 1): Comment {
  const comment = { id: forge.comments.length + 100, pull, body, by }
  forge.comments.push(comment)
  return comment
}

async function editComment(context: Context, forge: StandIn) {
  const comment = forge.comments.find(({ id }) => id === Number(context.req.param('id')))
  if (comment === undefined) return context.json({ message: 'Not Found' }, 404)
  if (forge.protected.has(comment.id)) return context.json({ message: 'Not yours' }, 403)
  comment.body = String((await readFields(context)).body)
  return context.json(comment)
}

function setStatus(forge: StandIn, sha: string, context: string, status: Status): void {
  const known = forge.statuses.get(sha) ?? new Map<string, Status>()
  forge.statuses.set(sha, known.set(context, status))
}
