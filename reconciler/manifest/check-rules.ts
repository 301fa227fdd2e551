import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { ManifestTree } from './manifest.ts'
import { sortDiagnostics } from './render-diagnostic.ts'
import { createRuleContext } from './rules/context.ts'
import type { CheckOptions } from './rules/rule.ts'
import { RULES } from './rules/rules.ts'

/**
 * Every rule that does not hold, sorted by place. Says nothing about what is missing where a document
 * that could not be read may be it.
 */
export function checkRules(tree: ManifestTree, options: CheckOptions = {}): Diagnostic[] {
  const context = createRuleContext(tree, { incomplete: tree.incomplete, ...options })
  return sortDiagnostics(
    RULES.flatMap(({ id, severity, check }) =>
      Array.from(check(context), finding => ({ rule: id, severity, ...finding })),
    ),
  )
}
