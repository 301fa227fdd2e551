import type { Position } from '../../schemas/diagnostic.ts'
import type { FleetPlan, Risk } from '../../schemas/plan.ts'
import { explainRisk, severityOf } from '../plan/assess-risk.ts'
import { describeHeadline, describeRollout } from './rollout-words.ts'
import { changedServices, describeMoves, idOf, listNames } from './words.ts'

interface Case {
  readonly type: string
  readonly name: string
  readonly place: string
  /** What it fails by, and why. */
  readonly failures: readonly { readonly type: string; readonly message: string }[]
  readonly output: string
}

/**
 * One test case for each change, which fails by risks of medium or high severity, and one for each thing that is to be
 * said of how it goes out, which fails when it would be refused.
 */
export function renderJunit(plan: FleetPlan): string {
  const cases: Case[] = [
    ...describeRollout(plan).map(({ kind, rule, text, at }) => ({
      type: 'rollout',
      name: kind === 'refused' ? `refused by ${rule}` : kind,
      place: placeOf(at),
      failures: kind === 'refused' ? [{ type: rule, message: text }] : [],
      output: kind === 'refused' ? '' : text,
    })),
    ...changedServices(plan).map(service => ({
      type: 'service',
      // One that changes in two ways is two cases, which readers tell apart by name.
      name: `${service.change} ${service.service} ${idOf(service)} on ${listNames(service.nodes)}`,
      failures: failuresOf(service.risk),
      place: placeOf(service.at),
      output: [describeMoves(service), ...service.details].filter(line => line !== null).join('\n'),
    })),
    ...plan.announcements.map(each => ({
      type: 'announcement',
      name: `${each.prefix}: ${each.before} to ${each.after} announcers`,
      failures: each.last_announcer ? failuresOf(['last-announcer']) : [],
      place: '',
      output: '',
    })),
    ...plan.nodes.map(each => ({
      type: 'node',
      name: `${each.change} ${each.driver} ${each.key} on ${listNames(each.nodes)}`,
      failures: failuresOf(each.risk),
      place: '',
      output: each.details.join('\n'),
    })),
  ]
  const failed = cases.filter(({ failures }) => failures.length > 0).length
  const body = cases.map(({ type, name, failures, place, output }) => {
    const out = output === '' ? '' : `<system-out>${escapeXml(output)}</system-out>`
    return `    <testcase classname="${type}" name="${escapeXml(name)}"${place}>${failureOf(failures)}${out}</testcase>`
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="ballast plan" tests="${cases.length}" failures="${failed}">`,
    `  <testsuite name="${escapeXml(describeHeadline(plan))}" tests="${cases.length}" failures="${failed}">`,
    ...body,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}

/** One, and its text inside: GitLab shows no message, and of several only that they are an array. */
function failureOf(failures: Case['failures']): string {
  const [first] = failures
  if (first === undefined) return ''
  const text = failures.map(({ type, message }) => `${type}: ${message}`).join('\n')
  const attributes = `type="${escapeXml(first.type)}" message="${escapeXml(first.message)}"`
  return `<failure ${attributes}>${escapeXml(text)}</failure>`
}

const failuresOf = (risk: readonly Risk[]): Case['failures'] =>
  risk.filter(each => severityOf(each) !== 'low').map(each => ({ type: each, message: explainRisk(each) }))

const placeOf = (at: Position | null): string =>
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
