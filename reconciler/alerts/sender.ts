import type { Notification } from '../../schemas/alert.ts'
import type { AlertReceiver } from '../../schemas/drift-settings.ts'
import type { Firing } from '../drift/alert-memory.ts'
import { createAlertmanagerSender } from './alertmanager.ts'
import { createCommandSender } from './command.ts'
import { createSlackSender } from './slack.ts'
import { createWebhookSender } from './webhook.ts'

/** Who is told of drift. Sending the same again is harmless. Throws `ALERT_NOT_SENT`, `ALERT_REFUSED`, `SECRET_UNREADABLE`. */
export interface Sender {
  send(notification: Notification): Promise<void>
  /** Says again what is firing; absent where nobody forgets. */
  remind?(firing: readonly Firing[]): Promise<void>
}

export function createSender(receiver: AlertReceiver): Sender {
  switch (receiver.type) {
    case 'alertmanager':
      return createAlertmanagerSender(receiver)
    case 'slack':
      return createSlackSender(receiver)
    case 'webhook':
      return createWebhookSender(receiver)
    case 'command':
      return createCommandSender(receiver)
  }
}
