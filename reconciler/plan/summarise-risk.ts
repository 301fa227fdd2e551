import type {
  AnnouncementPlan,
  FleetPlan,
  NodePlan,
  Risk,
  ServicePlan,
  Severity,
} from '../../schemas/plan.ts'
import { rankOf, severityOf } from './assess-risk.ts'

export interface Findings {
  readonly services: readonly ServicePlan[]
  readonly nodes: readonly NodePlan[]
  readonly announcements: readonly AnnouncementPlan[]
}

const SEVERITIES: readonly Severity[] = ['high', 'medium', 'low']
/** Services named for one rule. */
const NAMED = 3

/** The line on top of every rendering: the weightiest rules first, each with whom it is about. */
export function summariseRisk({ services, nodes, announcements }: Findings): FleetPlan['risk'] {
  const about = new Map<Risk, Set<string>>()
  const note = (rule: Risk, name: string) => about.set(rule, (about.get(rule) ?? new Set()).add(name))
  for (const { service, risk } of services) for (const rule of risk) note(rule, service)
  for (const { risk, nodes: on } of nodes) for (const rule of risk) for (const node of on) note(rule, node)
  for (const { prefix, last_announcer } of announcements) if (last_announcer) note('last-announcer', prefix)
  const rules = [...about.keys()].sort((a, b) => rankOf(a) - rankOf(b))
  const severity = SEVERITIES.find(each => rules.some(rule => severityOf(rule) === each)) ?? null
  const changes =
    services.some(({ change }) => change !== 'unchanged') || nodes.length + announcements.length > 0
  const line =
    severity === null
      ? changes
        ? 'no risk found'
        : 'no traffic effect'
      : `${severity} risk: ${rules.map(rule => `${rule} (${nameSome([...about.get(rule)!])})`).join(', ')}`
  return { severity, rules, line }
}

const nameSome = (names: readonly string[]): string =>
  names.length <= NAMED
    ? names.join(', ')
    : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`
