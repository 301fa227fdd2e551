import { createHmac } from 'node:crypto'
import type { AlertReceiver } from '../../schemas/drift-settings.ts'
import { postJson, readAlertSecret } from './post.ts'
import type { Sender } from './sender.ts'

/**
 * `schemas/alert.ts` as JSON, signed as our own generic webhook is: `X-Ballast-Timestamp` in seconds and
 * `X-Ballast-Signature-256: sha256=HEX`, HMAC-SHA256 of `SECONDS.BODY`.
 */
export const createWebhookSender = ({
  url,
  secretFile,
}: Extract<AlertReceiver, { type: 'webhook' }>): Sender => ({
  async send(notification) {
    const body = JSON.stringify(notification)
    if (secretFile === undefined) return postJson(url, body, {})
    const seconds = String(Math.floor(notification.at / 1000))
    const hex = createHmac('sha256', await readAlertSecret(secretFile))
      .update(`${seconds}.${body}`)
      .digest('hex')
    await postJson(url, body, { 'x-ballast-timestamp': seconds, 'x-ballast-signature-256': `sha256=${hex}` })
  },
})
