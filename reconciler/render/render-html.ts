import type { FleetPlan, ServicePlan } from '../../schemas/plan.ts'
import { explainRisk } from '../plan/assess-risk.ts'
import { drawMoves, drawShares } from './draw-service.ts'
import { escapeHtml, PAGE_STYLE } from './page.ts'
import { describeDuration, describeHeadline, describeRollout, weightOf } from './rollout-words.ts'
import {
  changedServices,
  describeFlows,
  describeLive,
  describeLoad,
  describeMoved,
  describeMoves,
  describeNodes,
  describeRename,
  describeTotals,
  idOf,
  listNames,
  othersOf,
  percent,
  shortDigest,
  shortRevision,
} from './words.ts'

/** Services with pictures, the weightiest; the others have their line in the table. */
const SERVICES_DRAWN = 20
/** Lines of the table. */
const SERVICES_LISTED = 2_000

/** A page that needs nothing else: no script, no network. */
export async function renderHtml(plan: FleetPlan): Promise<string> {
  const services = changedServices(plan)
  const others = othersOf(plan.services, idOf)
  const drawn: string[] = []
  for (const service of services.slice(0, SERVICES_DRAWN))
    drawn.push(await renderService(service, others(service)))
  const { rules } = plan.risk
  const more = services.length - SERVICES_LISTED
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ballast plan ${shortDigest(plan.digest)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header class="${weightOf(plan) ?? 'none'}">
<h1>${escapeHtml(describeHeadline(plan))}</h1>
<p><code>${shortRevision(plan.base)}</code> → <code>${shortRevision(plan.head)}</code> · ${escapeHtml(describeTotals(plan))}</p>
</header>
${rules.length === 0 ? '' : `<ul class="rules">${rules.map(rule => `<li><b>${rule}</b>: ${escapeHtml(explainRisk(rule))}</li>`).join('')}</ul>`}
${renderNotes(plan)}
${services.length === 0 ? '' : renderTable(services.slice(0, SERVICES_LISTED), others)}
${more > 0 ? `<p>and ${more} more services</p>` : ''}
${drawn.join('\n')}
${renderLists(plan)}
<footer>
<p>Takes ${escapeHtml(describeDuration(plan))}.</p>
${plan.revert === null ? '' : `<p>Way back:</p><pre>${escapeHtml(plan.revert)}</pre>`}
<p>Digest <code>${plan.digest}</code></p>
</footer>
</body>
</html>
`
}

/** What keeps it from going out as it is on top, then how it goes out. */
function renderNotes(plan: FleetPlan): string {
  const notes = describeRollout(plan)
  const refused = notes.filter(({ kind }) => kind === 'refused')
  const others = notes.filter(({ kind }) => kind !== 'refused').map(({ text }) => escapeHtml(text))
  return [
    ...refused.map(({ text }) => `<p class="note refused">${escapeHtml(text)}</p>`),
    ...describeLive(plan).map(text => `<p class="note">${escapeHtml(text)}</p>`),
    list('How it goes out', others),
  ].join('\n')
}

type Others = (service: ServicePlan) => string[]

function renderTable(services: readonly ServicePlan[], others: Others): string {
  const rows = services.map(service => {
    const { change, impact, live, risk } = service
    const minimum = change === 'update' ? percent(impact.minimum / impact.slots) : '–'
    return `<tr><td class="${change}">${change}</td><td>${escapeHtml(service.service)}</td><td><code>${idOf(service)}</code></td>
<td class="number">${describeMoved(service)}</td><td class="number">${minimum}</td>
<td class="number">${live === null ? '–' : percent(live.flows_lost)}</td><td>${risk.join(', ')}</td>
<td>${escapeHtml(describeNodes(service.nodes, service.node_count, others(service)))}</td></tr>`
  })
  return `<table><thead><tr><th></th><th>service</th><th>VIP</th><th>new flows that move</th><th>unavoidable</th><th>live flows cut</th><th>risk</th><th>nodes</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`
}

async function renderService(plan: ServicePlan, others: readonly string[]): Promise<string> {
  const { live } = plan
  const notes = [
    ...plan.risk.map(rule => `${rule}: ${explainRisk(rule)}`),
    describeRename(plan),
    describeMoves(plan),
    ...(live === null ? [] : [describeFlows(live), describeLoad(live)]),
    ...plan.details,
  ].filter(note => note !== null)
  const moves = await drawMoves(plan)
  return `<section>
<h2>${escapeHtml(plan.service)} <code>${idOf(plan)}</code></h2>
<p>${escapeHtml(describeNodes(plan.nodes, plan.node_count, others))}</p>
<ul>${notes.map(note => `<li>${escapeHtml(note)}</li>`).join('')}</ul>
<div class="pictures">
<div><h3>Share of new flows per backend, before and after</h3>${await drawShares(plan)}</div>
${moves === null ? '' : `<div><h3>Which new flows go from whom to whom</h3>${moves}</div>`}
</div>
</section>`
}

function renderLists(plan: FleetPlan): string {
  const others = othersOf(plan.nodes, ({ driver, key }) => `${driver} ${key}`)
  const nodes = plan.nodes.map(each => {
    const where = describeNodes(each.nodes, each.node_count, others(each))
    const details = each.details.map(detail => `<br><code>${escapeHtml(detail)}</code>`).join('')
    return `<b class="${each.change}">${each.change}</b> <code>${escapeHtml(`${each.driver} ${each.key}`)}</code> ${escapeHtml(where)}${details}`
  })
  const announcements = plan.announcements.map(each => {
    const last = each.last_announcer ? ' <b class="delete">nobody announces it any more</b>' : ''
    const on = each.announced_on.length > 0 ? `; announced on ${listNames(each.announced_on)}` : ''
    const off = each.withdrawn_on.length > 0 ? `; withdrawn on ${listNames(each.withdrawn_on)}` : ''
    return `<code>${escapeHtml(each.prefix)}</code> ${each.before} → ${each.after} nodes${escapeHtml(on + off)}${last}`
  })
  const objects = plan.objects
    .filter(({ effect }) => effect === 'none')
    .map(
      ({ kind, name, at }) => `${escapeHtml(kind)} ${escapeHtml(name)} (<code>${escapeHtml(at.file)}</code>)`,
    )
  return [
    list('Announcements', announcements),
    list('Nodes', nodes),
    list('Without traffic effect', objects),
  ].join('\n')
}

const list = (title: string, items: readonly string[]): string =>
  items.length === 0
    ? ''
    : `<section><h2>${title}</h2><ul>${items.map(item => `<li>${item}</li>`).join('')}</ul></section>`
