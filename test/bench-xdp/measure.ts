import type { Case } from './cases.ts'
import type { Driver } from './drive.ts'

/**
 * Everything is measured once a round, one after the other, so that what disturbs the machine disturbs all of
 * it. Right before and right after a window the empty program tells how quiet the machine is: of every figure
 * the windows of the quieter half count, and it is their median.
 */

export interface Figure {
  readonly name: string
  readonly value: number
  /** Windows that count. */
  readonly n: number
}

/** A window. `empty`: what the empty program took around it. */
interface Sample {
  readonly gross: number
  readonly empty: number
}

export interface Measured {
  /** Of one packet, ns: of floors what the driver itself does included, of cases less that. */
  readonly floors: readonly Figure[]
  readonly cases: readonly Figure[]
}

export function measure(driver: Driver, cases: readonly Case[], rounds: number): Measured {
  const { frame } = cases[0]!.traffic
  const floor = { frame, flows: 1, order: 'in order', from: 0, packets: 64_000 } as const
  const gauge = (): number => driver.run(driver.empty, { ...floor, packets: 8000 }).gross
  const sample = (window: () => number): Sample => {
    const before = gauge()
    const gross = window()
    return { gross, empty: (before + gauge()) / 2 }
  }
  const all = Array.from({ length: rounds + 1 }, (_, round) => ({
    empty: sample(() => driver.run(driver.empty, floor).gross),
    cheapest: sample(() => driver.run(driver.cheapestEncapsulation, floor).gross),
    twice: sample(() => driver.run(driver.growAndShrink, floor).gross),
    cases: cases.map(each => sample(() => measureCase(driver, each, round))),
  })).slice(1) // the first round warms up
  const n = Math.ceil(rounds / 2)
  const figure = (name: string, value: number): Figure => ({ name, value: Math.round(value * 10) / 10, n })
  const empty = ofQuietest(
    all.map(round => round.empty),
    n,
  )
  const undo =
    (ofQuietest(
      all.map(round => round.twice),
      n,
    ) -
      empty) /
    2
  return {
    floors: [
      figure('empty_gross', empty),
      figure(
        'cheapest_encapsulation_gross',
        ofQuietest(
          all.map(round => round.cheapest),
          n,
        ),
      ),
      figure('adjust_head_undone', undo),
    ],
    cases: cases.map(({ name, action }, i) => {
      const gross = ofQuietest(
        all.map(round => round.cases[i]!),
        n,
      )
      return figure(name, gross - empty - (action === 'tx' ? undo : 0))
    }),
  }
}

function measureCase(
  driver: Driver,
  { name, balancer, traffic, isFresh, before, action }: Case,
  round: number,
): number {
  const from = traffic.from + (isFresh ? round * traffic.packets : 0)
  if (before !== undefined) driver.run(balancer.fd, { ...traffic, from, frame: before })
  const driven = driver.run(balancer.fd, { ...traffic, from })
  if (driven.action !== action) throw new Error(`${name}: ${driven.action}, and not ${action}`)
  return driven.gross
}

const ofQuietest = (samples: readonly Sample[], count: number): number =>
  median(
    samples
      .toSorted((a, b) => a.empty - b.empty)
      .slice(0, count)
      .map(({ gross }) => gross),
  )

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2
}
