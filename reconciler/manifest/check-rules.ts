import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type { ManifestOf, ManifestTree } from './manifest.ts'
import { sortDiagnostics } from './render-diagnostic.ts'
import { createRuleContext } from './rules/context.ts'
import type { CheckOptions, Rule, RuleContext } from './rules/rule.ts'
import { RULES } from './rules/rules.ts'

/**
 * Every rule that does not hold, sorted by place. Says nothing about what is missing where a document
 * that could not be read may be it.
 */
export function checkRules(tree: ManifestTree, options: CheckOptions = {}): Diagnostic[] {
  const steps = stepRules(tree, options)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** The same, rule by rule: those of ten thousand services take longer than others should wait. */
export function* stepRules(tree: ManifestTree, options: CheckOptions = {}): Generator<void, Diagnostic[]> {
  const context = createRuleContext(tree, { incomplete: tree.incomplete, ...options })
  const services = context.services.filter(service => !isSound(service, context))
  const backendSets = context.backendSets.filter(({ backends }) => !soundBackends.has(backends))
  yield
  const ofLocal = yield* ask(LOCAL, { ...context, services, backendSets })
  const faulty = new Set(ofLocal.map(({ at }) => at.file))
  for (const service of services)
    if (!faulty.has(service.at.file)) soundServices.set(service.spec, backendsOf(service, context))
  for (const { owner, backends } of backendSets) if (!faulty.has(owner.at.file)) soundBackends.add(backends)
  return sortDiagnostics([...(yield* ask(TOGETHER, context)), ...ofLocal])
}

function* ask(rules: readonly Rule[], about: RuleContext): Generator<void, Diagnostic[]> {
  const found: Diagnostic[] = []
  for (const { id, severity, check } of rules) {
    for (const finding of check(about)) found.push({ rule: id, severity, ...finding })
    yield
  }
  return found
}

const LOCAL = RULES.filter(({ local }) => local)
const TOGETHER = RULES.filter(({ local }) => !local)

/**
 * What no rule of `LOCAL` had anything to say about. The parts of a manifest that did not change since an earlier revision
 * are the very same objects, and nobody changes them.
 */
const soundServices = new WeakMap<Service['spec'], readonly Backend[] | null>()
const soundBackends = new WeakSet<readonly Backend[]>()

const isSound = (service: ManifestOf<Service>, context: RuleContext): boolean =>
  soundServices.get(service.spec) === backendsOf(service, context)

const backendsOf = (service: ManifestOf<Service>, context: RuleContext): readonly Backend[] | null =>
  context.backendsOf(service)?.backends ?? null
