import type { Case } from './cases.ts'
import type { Driver } from './drive.ts'

/**
 * Everything is measured once a round, one after the other, so that what disturbs the machine disturbs all
 * of it. Of the rounds the quieter half counts, by what the empty program took; the figure is the median.
 */

export interface Figure {
  readonly name: string
  readonly value: number
  /** Rounds that count. */
  readonly n: number
}

interface Round {
  readonly empty: number
  readonly cheapest: number
  /** What it costs the driver to undo one `bpf_xdp_adjust_head`. */
  readonly undo: number
  readonly cases: readonly number[]
}

export interface Measured {
  /** Of one packet, ns: of floors what the driver itself does included, of cases less that. */
  readonly floors: readonly Figure[]
  readonly cases: readonly Figure[]
}

export function measure(driver: Driver, cases: readonly Case[], rounds: number): Measured {
  const all = Array.from({ length: rounds + 1 }, (_, round) => measureRound(driver, cases, round))
  const quiet = all
    .slice(1)
    .sort((a, b) => a.empty - b.empty)
    .slice(0, Math.ceil(rounds / 2))
  const figure = (name: string, of: (round: Round) => number): Figure => ({
    name,
    value: Math.round(median(quiet.map(of)) * 10) / 10,
    n: quiet.length,
  })
  return {
    floors: [
      figure('empty_gross', ({ empty }) => empty),
      figure('cheapest_encapsulation_gross', ({ cheapest }) => cheapest),
      figure('adjust_head_undone', ({ undo }) => undo),
    ],
    cases: cases.map(({ name, action }, i) =>
      figure(name, ({ cases, empty, undo }) => cases[i]! - empty - (action === 'tx' ? undo : 0)),
    ),
  }
}

/** Round 0 warms up. */
function measureRound(driver: Driver, cases: readonly Case[], round: number): Round {
  const { frame } = cases[0]!.traffic
  const floor = { frame, flows: 1, order: 'in order', from: 0, packets: 64_000 } as const
  const empty = driver.run(driver.empty, floor).gross
  return {
    empty,
    cheapest: driver.run(driver.cheapestEncapsulation, floor).gross,
    undo: (driver.run(driver.growAndShrink, floor).gross - empty) / 2,
    cases: cases.map(each => measureCase(driver, each, round)),
  }
}

function measureCase(
  driver: Driver,
  { name, balancer, traffic, isFresh, action }: Case,
  round: number,
): number {
  const from = traffic.from + (isFresh ? round * traffic.packets : 0)
  const driven = driver.run(balancer.fd, { ...traffic, from })
  if (driven.action !== action) throw new Error(`${name}: ${driven.action}, and not ${action}`)
  return driven.gross
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2
}
