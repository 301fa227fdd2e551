import { z } from 'zod'

export const Forge = z.enum(['github', 'gitlab', 'gitea', 'generic'])
export type Forge = z.infer<typeof Forge>

/**
 * What is needed of a push event. Only `ref` decides, and only whether to look: what was pushed is read from the
 * repository, never believed from here.
 * GitHub: webhook-events-and-payloads, `push`. GitLab: webhook_events, push events (`object_kind`). Gitea, Forgejo: webhooks.
 */
export const PushPayload = z.object({
  ref: z
    .string()
    .min(1)
    .max(1000)
    .regex(/^refs\//, 'is no full ref'),
})
export type PushPayload = z.infer<typeof PushPayload>

/** GitHub and Gitea, `pull_request`. Nothing of it is believed but that there is something to look at. */
export const PullRequestPayload = z.object({
  number: z.int().min(1).max(1e9),
  action: z.string().max(100).optional(),
})

/** GitLab, merge request events. */
export const MergeRequestPayload = z.object({
  object_attributes: z.object({ iid: z.int().min(1).max(1e9), action: z.string().max(100).optional() }),
})

/** GitLab names the event in the body too, and system hooks only there. */
export const GitlabPayload = z.object({
  object_kind: z.string().max(100).optional(),
  event_name: z.string().max(100).optional(),
})

/**
 * - `looking`: the branch is looked at, now or once for all of a storm. - `reviewing`: a pull request is planned soon. - `pong`: a forge tries the connection.
 * - `ignored`: not about the branch that is followed. - `duplicate`: was here before.
 */
export const WebhookAnswer = z
  .strictObject({
    result: z.enum(['looking', 'reviewing', 'pong', 'ignored', 'duplicate']),
    detail: z.string().meta({ description: 'Why, in words.' }),
  })
  .meta({ description: 'What comes of a webhook.' })
export type WebhookAnswer = z.infer<typeof WebhookAnswer>
