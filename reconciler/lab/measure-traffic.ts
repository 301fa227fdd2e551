import type { HoldEvent, LoadEvent } from '../../schemas/lab.ts'

/** Backend name → its part, as a fraction of 1. */
export type Shares = Readonly<Record<string, number>>

export type Response = Extract<LoadEvent, { kind: 'response' }>
export type Failure = Extract<LoadEvent, { kind: 'failure' }>

export const responsesOf = (events: readonly LoadEvent[]): Response[] =>
  events.filter(event => event.kind === 'response')
export const failuresOf = (events: readonly LoadEvent[]): Failure[] =>
  events.filter(event => event.kind === 'failure')

/** When a request began, ms since the epoch: what was decided later can not have moved it. */
export const startOf = ({ at, ms }: LoadEvent): number => at - ms

export function sharesOfWeights(weights: Readonly<Record<string, number>>): Shares {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0)
  return Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight / total]))
}

export function countBackends(responses: readonly Response[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { backend } of responses) counts[backend] = (counts[backend] ?? 0) + 1
  return counts
}

/**
 * The backends whose part of the responses is not what it should be: off by more than five standard
 * deviations of a fair draw, and 2% for what is not random: a client's port that is used again keeps its backend.
 */
export function findUnfair(responses: readonly Response[], expected: Shares): string[] {
  const counts = countBackends(responses)
  const total = responses.length
  const names = [...new Set([...Object.keys(expected), ...Object.keys(counts)])].sort()
  return names.filter(name => {
    const share = expected[name] ?? 0
    const allowed = 0.02 + 5 * Math.sqrt((share * (1 - share)) / total)
    return Math.abs((counts[name] ?? 0) / total - share) > allowed
  })
}

/** The longest time between two echoes of a connection, ms. */
export function longestSilence(events: readonly HoldEvent[]): number {
  const echoes = events.filter(({ kind }) => kind === 'echo').map(({ at }) => at)
  return Math.max(0, ...echoes.slice(1).map((at, index) => at - (echoes[index] ?? at)))
}
