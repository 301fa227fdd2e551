import type { Position } from '../../schemas/diagnostic.ts'
import { digestOf } from '../../schemas/digest.ts'
import { type FleetPlan, Risk, type Severity } from '../../schemas/plan.ts'
import { explainRisk, severityOf } from '../plan/assess-risk.ts'
import { describeRollout, type RolloutNote } from './rollout-words.ts'
import { changedServices, describeMoves, idOf } from './words.ts'

const LEVELS: Readonly<Record<Severity, string>> = { high: 'error', medium: 'warning', low: 'note' }
/** Of a change without any risk. */
const CHANGE_RULE = 'traffic-changed'
/** Results that forges take of one run: GitHub shows 5,000. */
const MOST_RESULTS = 5_000

interface Finding {
  readonly rule: string
  readonly level: string
  readonly message: string
  readonly at: Position | null
  /** What it is about, the same from one push to the next. */
  readonly about: string
}

/**
 * SARIF 2.1.0: an annotation on the changed line for every risk and refusal, and a note for a change without one.
 * What has no line of its own stands at the first change.
 */
export function renderSarif(plan: FleetPlan, version: string): string {
  const anchor = findAnchor(plan)
  const results = findingsOf(plan)
    .slice(0, MOST_RESULTS)
    .map(({ rule, level, message, at, about }) => {
      const place = at ?? anchor
      return {
        ruleId: rule,
        ...(level === 'none' && { kind: 'informational' }),
        level,
        message: { text: message },
        ...(place !== null && { locations: [{ physicalLocation: placeOf(place) }] }),
        partialFingerprints: { 'ballastPlan/v1': digestOf([rule, about]) },
      }
    })
  const sarif = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: { name: 'ballast', semanticVersion: version, rules: [...RULES, ...rulesOf(plan)] },
        },
        automationDetails: { id: 'ballast/plan' },
        originalUriBaseIds: { SRCROOT: { description: { text: 'The root of the repository.' } } },
        results,
      },
    ],
  }
  return `${JSON.stringify(sarif, null, 2)}\n`
}

/**
 * For what no one line is the reason of, since GitHub refuses all of a file that has one result without a place: the
 * first change, of what is still there if anything is; null: the base is the live fleet, which has no manifests.
 */
function findAnchor({ objects, services }: FleetPlan): Position | null {
  const [left, gone] = [true, false].map(isLeft =>
    objects.find(each => (each.change !== 'delete') === isLeft),
  )
  return left?.at ?? gone?.at ?? services.find(({ at }) => at !== null)?.at ?? null
}

const RULES = [
  ...Risk.options.map(id => ({
    id,
    shortDescription: { text: explainRisk(id) },
    help: { text: `${explainRisk(id)}. docs/plan.md says when the rule applies.` },
    defaultConfiguration: { level: LEVELS[severityOf(id)] },
  })),
  {
    id: CHANGE_RULE,
    shortDescription: { text: 'traffic goes elsewhere' },
    defaultConfiguration: { level: 'note' },
  },
]

/** Of guards, waves and windows: those that something is said of. */
const rulesOf = (plan: FleetPlan) =>
  [...new Map(describeRollout(plan).map(note => [note.rule, note])).values()].map(({ rule, kind }) => ({
    id: rule,
    shortDescription: { text: ROLLOUT_RULES[kind] },
    help: { text: `${ROLLOUT_RULES[kind]}. See docs/rollouts.md.` },
    defaultConfiguration: { level: kind === 'refused' ? 'error' : 'note' },
  }))

const ROLLOUT_RULES: Readonly<Record<RolloutNote['kind'], string>> = {
  refused: 'a guard does not let this revision go out',
  waves: 'the revision goes out in waves',
  split: 'for as long as a wave bakes, nodes of one VIP have different rings',
  unjudged: 'some gates see nothing of these services',
  frozen: 'nodes are in a freeze window and change later',
  review: 'the revision is taken only if a plan of this digest was recorded',
  'freeze-override': 'a commit says why freeze windows do not count',
}

function findingsOf(plan: FleetPlan): Finding[] {
  const rollout = describeRollout(plan).map(({ kind, rule, text, at }) => ({
    rule,
    level: kind === 'refused' ? 'error' : 'note',
    message: text,
    at,
    about: text,
  }))
  const services = changedServices(plan).flatMap(service => {
    const { at, risk } = service
    const about = `${service.service} ${idOf(service)}`
    const effect = describeMoves(service)
    if (risk.length === 0) {
      const message = `${about}: ${effect ?? service.change}`
      return [{ rule: CHANGE_RULE, level: 'note', message, at, about }]
    }
    return risk.map(rule => ({
      rule,
      level: LEVELS[severityOf(rule)],
      message: `${about}: ${explainRisk(rule)}${effect === null ? '' : ` (${effect})`}`,
      at,
      about,
    }))
  })
  const routes = plan.announcements
    .filter(({ last_announcer }) => last_announcer)
    .map(({ prefix }) => ({
      rule: 'last-announcer',
      level: 'error',
      message: `${prefix}: ${explainRisk('last-announcer')}`,
      at: null,
      about: prefix,
    }))
  const nodes = plan.nodes.flatMap(({ risk, key, nodes: on }) =>
    risk.map(rule => ({
      rule,
      level: LEVELS[severityOf(rule)],
      message: `${key} on ${on.join(', ')}: ${explainRisk(rule)}`,
      at: plan.objects.find(({ kind, name }) => kind === 'Node' && on.includes(name))?.at ?? null,
      about: `${key} ${on.join()}`,
    })),
  )
  const silent = plan.objects
    .filter(({ effect }) => effect === 'none')
    .map(({ kind, name, at }) => ({
      rule: CHANGE_RULE,
      level: 'none',
      message: `${kind} ${name}: no traffic effect`,
      at,
      about: `${kind}/${name}`,
    }))
  return [...rollout, ...services, ...routes, ...nodes, ...silent]
}

const placeOf = ({ file, line, column }: Position) => ({
  artifactLocation: { uri: file.split('/').map(encodeURIComponent).join('/'), uriBaseId: 'SRCROOT' },
  region: { startLine: line, startColumn: column },
})
