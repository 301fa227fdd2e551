import { styleText } from 'node:util'
import { serviceId } from '../../schemas/address.ts'
import type { FleetPlan, NodePlan, ServicePlan } from '../../schemas/plan.ts'
import { explainRisk } from './assess-risk.ts'

const MARKS = { create: '+', update: '~', delete: '-', unchanged: ' ' } as const
const COLORS = { create: 'green', update: 'yellow', delete: 'red', unchanged: 'gray' } as const
/** Backends listed for one service; the rest are counted. */
const BACKENDS_SHOWN = 20

/** For a terminal. What does not change is counted, not shown. */
export function renderPlan(plan: FleetPlan, { color }: { color: boolean }): string {
  const paint = (change: keyof typeof COLORS, text: string): string =>
    color ? styleText(COLORS[change], text, { validateStream: false }) : text
  const services = plan.services.filter(service => service.change !== 'unchanged')
  const lines = [
    `${shortRevision(plan.base)} → ${shortRevision(plan.head)}`,
    '',
    ...services.flatMap(service => [...renderService(service, paint), '']),
    ...plan.nodes.flatMap(node => renderNode(node, paint)),
    ...(plan.nodes.length > 0 ? [''] : []),
    renderTotals(plan),
  ]
  return `${lines.join('\n')}\n`
}

type Paint = (change: keyof typeof COLORS, text: string) => string

function renderService(plan: ServicePlan, paint: Paint): string[] {
  const id = serviceId(plan.vip, plan.port, plan.protocol)
  const where =
    plan.nodes.length === plan.node_count
      ? `on ${plan.nodes.length} ${plan.nodes.length === 1 ? 'node' : 'nodes'}`
      : `on ${plan.nodes.length} of ${plan.node_count} nodes: ${plan.nodes.join(', ')}`
  const lines = [paint(plan.change, `${MARKS[plan.change]} ${plan.service}  ${id}  ${where}`)]
  if (plan.change === 'update') {
    const { moved, minimum, slots } = plan.impact
    lines.push(`    moves ${percent(moved / slots)} of new flows (unavoidable: ${percent(minimum / slots)})`)
  }
  const changed = plan.impact.backends.filter(b => b.share_before !== b.share_after)
  for (const backend of changed.slice(0, BACKENDS_SHOWN)) {
    const change = backend.share_before === 0 ? 'create' : backend.share_after === 0 ? 'delete' : 'update'
    const shares = `${percent(backend.share_before)} → ${percent(backend.share_after)}`
    lines.push(paint(change, `    ${MARKS[change]} ${backend.address.padEnd(24)} ${shares}`))
  }
  if (changed.length > BACKENDS_SHOWN)
    lines.push(`      and ${changed.length - BACKENDS_SHOWN} more backends`)
  for (const risk of plan.risk) lines.push(`    ! ${risk}: ${explainRisk(risk)}`)
  return lines
}

const renderNode = (plan: NodePlan, paint: Paint): string[] => [
  paint(plan.change, `${MARKS[plan.change]} node ${plan.nodes.join(', ')}  ${plan.driver} ${plan.key}`),
  ...plan.details.map(detail => `    ${detail}`),
]

function renderTotals({ totals, nodes, digest }: FleetPlan): string {
  const { create, update, delete: gone, unchanged } = totals
  const services = `Plan: ${create} to create, ${update} to change, ${gone} to delete, ${unchanged} unchanged`
  return `${services}; ${nodes.length} other changes on nodes.\nDigest: ${digest.slice(0, 16)}`
}

const shortRevision = (revision: string | null): string => revision?.slice(0, 12) ?? 'the live fleet'

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`
