import { z } from 'zod'

/** What a lab is made of, on disk before any of it is made, so that it can be taken down after a crash. */
export const LabRecord = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  /** The process that takes it down; null: it stays until someone does. */
  owner: z.int().nullable(),
  namespaces: z.array(z.string()),
  mounts: z.array(z.string()),
  /** All of it was made. */
  complete: z.boolean(),
})
export type LabRecord = z.infer<typeof LabRecord>

/** What the load generator is to do: one request to the next target every `interval` ms, each on a connection of its own. */
export const LoadOrder = z.strictObject({
  /** `http://host:port/` or `udp://host:port`. */
  targets: z.array(z.string()).min(1),
  interval: z.number().positive(),
  /** ms after which a request has failed. */
  timeout: z.number().positive(),
})
export type LoadOrder = z.infer<typeof LoadOrder>

/** One request's end; `at` in ms since the epoch, `ms` from its start. */
export const LoadEvent = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('response'),
    at: z.number(),
    ms: z.number(),
    target: z.string(),
    backend: z.string(),
  }),
  z.strictObject({
    kind: z.literal('failure'),
    at: z.number(),
    ms: z.number(),
    target: z.string(),
    reason: z.string(),
  }),
])
export type LoadEvent = z.infer<typeof LoadEvent>

/** What a long-lived connection is to do: connect until it reaches `backend`, then send a line every `interval` ms. */
export const HoldOrder = z.strictObject({
  url: z.string(),
  backend: z.string(),
  interval: z.number().positive(),
  /** ms without an echo after which the connection counts as lost. */
  patience: z.number().positive(),
})
export type HoldOrder = z.infer<typeof HoldOrder>

export const HoldEvent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('opened'), at: z.number(), backend: z.string(), attempts: z.int() }),
  z.strictObject({ kind: z.literal('echo'), at: z.number(), ms: z.number(), backend: z.string() }),
  z.strictObject({ kind: z.literal('lost'), at: z.number(), reason: z.string() }),
])
export type HoldEvent = z.infer<typeof HoldEvent>

/** What a backend of the lab answers. `udp`: addresses, since an answer must come from the address that was asked. */
export const ServerOrder = z.strictObject({
  name: z.string(),
  httpPorts: z.array(z.int()),
  udp: z.array(z.strictObject({ address: z.string(), port: z.int() })),
})
export type ServerOrder = z.infer<typeof ServerOrder>

/** What the demo prints with `--json`. Times in ms; null: not reached. */
export const DemoResult = z.strictObject({
  ok: z.boolean(),
  steps: z.array(z.strictObject({ name: z.string(), ok: z.boolean(), ms: z.int() })),
  /** From the end of `git push` until the last node reported the revision as applied. */
  push_to_applied_ms: z.number().nullable(),
  /** From the end of `git push` until the first new connection reached the added backend. */
  push_to_traffic_ms: z.number().nullable(),
  requests: z.int(),
  failed_requests: z.int(),
  long_connection_survived: z.boolean(),
  /** What went wrong, when something did. */
  error: z.string().optional(),
})
export type DemoResult = z.infer<typeof DemoResult>
