import type { FleetPlan, Risk, ServicePlan } from '../../schemas/plan.ts'
import { explainRisk, severityOf } from '../plan/assess-risk.ts'
import { changedServices, describeMoves, idOf } from './words.ts'

/** One test case for each change; one that has a risk of medium or high severity fails. */
export function renderJunit(plan: FleetPlan): string {
  const cases = [
    ...changedServices(plan).map(service => ({
      type: 'service',
      name: `${service.change} ${service.service} ${idOf(service)} on ${service.nodes.length} nodes`,
      risk: service.risk,
      place: placeOf(service),
      output: [describeMoves(service), ...service.details].filter(line => line !== null).join('\n'),
    })),
    ...plan.announcements.map(each => ({
      type: 'announcement',
      name: `${each.prefix}: ${each.before} to ${each.after} announcers`,
      risk: each.last_announcer ? (['last-announcer'] as const) : [],
      place: '',
      output: '',
    })),
    ...plan.nodes.map(each => ({
      type: 'node',
      name: `${each.change} ${each.driver} ${each.key} on ${each.nodes.length} nodes`,
      risk: each.risk,
      place: '',
      output: each.details.join('\n'),
    })),
  ]
  const failed = cases.filter(({ risk }) => risk.some(isFailure)).length
  const body = cases.map(({ type, name, risk, place, output }) => {
    const failures = risk
      .filter(isFailure)
      .map(each => `<failure type="${each}" message="${escapeXml(explainRisk(each))}"/>`)
    const out = output === '' ? [] : [`<system-out>${escapeXml(output)}</system-out>`]
    return `    <testcase classname="${type}" name="${escapeXml(name)}"${place}>${[...failures, ...out].join('')}</testcase>`
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="ballast plan" tests="${cases.length}" failures="${failed}">`,
    `  <testsuite name="${escapeXml(plan.risk.line)}" tests="${cases.length}" failures="${failed}">`,
    ...body,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}

const isFailure = (risk: Risk): boolean => severityOf(risk) !== 'low'

const placeOf = ({ at }: ServicePlan): string =>
  at === null ? '' : ` file="${escapeXml(at.file)}" line="${at.line}"`

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
}

/** Characters that XML 1.0 cannot hold are left out (2.2). */
const escapeXml = (value: string): string =>
  value
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
    .replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '')
    .replaceAll(/[&<>"\n]/g, char => ENTITIES[char]!)
