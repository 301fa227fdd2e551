import type { AlertSettings } from '../../schemas/drift-settings.ts'
import { createSender, type Sender } from '../alerts/sender.ts'
import { type DriftAlerts, type DriftAlertsOptions, startDriftAlerts } from '../controller/drift-alerts.ts'
import { CommandFailure } from './outcome.ts'

/** Null: nobody is told. Throws `CommandFailure`. */
export function openDriftAlerts({
  settings,
  ...options
}: Omit<DriftAlertsOptions, 'settings' | 'senders'> & {
  settings: AlertSettings | undefined
}): DriftAlerts | null {
  if (settings === undefined || settings.receivers.length === 0) return null
  return startDriftAlerts({ ...options, settings, senders: openSenders(settings) })
}

/** By name. Throws `CommandFailure` when a name is there twice, or a rule names nobody. */
export function openSenders({ receivers, rules }: AlertSettings): ReadonlyMap<string, Sender> {
  const senders = new Map(receivers.map(receiver => [receiver.name, createSender(receiver)]))
  if (senders.size < receivers.length) throw new CommandFailure('alerts: two receivers have the same name.')
  const unknown = rules.flatMap(rule => rule.receivers ?? []).find(name => !senders.has(name))
  if (unknown !== undefined) {
    throw new CommandFailure(`alerts: a rule names the receiver ${unknown}, and there is none of that name.`)
  }
  return senders
}
