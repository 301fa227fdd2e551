import { closestMatch } from 'leven'

/** `Did you mean "port"?` when something near was meant, else what there is to choose from. */
export function suggest(written: string, choices: readonly string[], otherwise: string): string {
  const near = nearest(written, choices)
  return near === undefined ? otherwise : `Did you mean "${near}"?`
}

function nearest(written: string, choices: readonly string[]): string | undefined {
  const lower = written.slice(0, 64).toLowerCase()
  const same = choices.find(choice => choice.toLowerCase() === lower)
  return same ?? closestMatch(lower, choices, { maxDistance: lower.length < 3 ? 1 : 2 })
}
