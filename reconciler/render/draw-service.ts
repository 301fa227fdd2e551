import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { ServicePlan } from '../../schemas/plan.ts'

/** Backends in one picture, those whose share changes most; a person cannot compare more. */
const BACKENDS_DRAWN = 24
const SCHEMA = 'https://vega.github.io/schema/vega-lite/v6.json'
const FONT = 'system-ui, sans-serif'
const WIDTH = 420
const NOBODY = 'nobody'
const REST = 'all others'

/** An SVG: the share of new flows of each backend, before and after. */
export function drawShares({ impact: { backends } }: ServicePlan): Promise<string> {
  const drawn = backends
    .toSorted((a, b) => change(b) - change(a) || b.share_after - a.share_after)
    .slice(0, BACKENDS_DRAWN)
  const values = drawn.flatMap(({ address, share_before, share_after }) => [
    { address, when: 'before', share: share_before },
    { address, when: 'after', share: share_after },
  ])
  // In the order of the values: a list of addresses would become an expression, and a plan is never code.
  const y = { field: 'address', type: 'nominal', title: null, sort: null } as const
  return toSvg({
    $schema: SCHEMA,
    width: WIDTH,
    height: { step: 13 },
    data: { values },
    encoding: {
      y,
      yOffset: { field: 'when', type: 'nominal', sort: ['before', 'after'] },
      x: {
        field: 'share',
        type: 'quantitative',
        title: 'share of new flows',
        axis: { format: '.0%', tickCount: 6 },
      },
    },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: {
          color: {
            field: 'when',
            type: 'nominal',
            title: null,
            sort: ['before', 'after'],
            scale: { domain: ['before', 'after'], range: ['#b8c4d0', '#1f6feb'] },
            legend: { orient: 'top' },
          },
        },
      },
      {
        mark: { type: 'text', align: 'left', dx: 4, fontSize: 10 },
        encoding: { text: { field: 'share', type: 'quantitative', format: '.1%' } },
      },
    ],
  })
}

/** An SVG: which share of all new flows goes from whom to whom; null: none does. */
export function drawMoves({ impact: { moves, slots, backends } }: ServicePlan): Promise<string> | null {
  if (moves.length === 0) return null
  const drawn = new Set(
    backends
      .toSorted((a, b) => change(b) - change(a))
      .slice(0, BACKENDS_DRAWN)
      .map(({ address }) => address),
  )
  const name = (address: string | null): string =>
    address === null ? NOBODY : drawn.has(address) ? address : REST
  const cells = new Map<string, { from: string; to: string; share: number }>()
  for (const { from, to, slots: some } of moves) {
    const cell = { from: name(from), to: name(to), share: 0 }
    const id = `${cell.from} ${cell.to}`
    const known = cells.get(id) ?? cell
    known.share += some / slots
    cells.set(id, known)
  }
  const most = largest(cells.values())
  return toSvg({
    $schema: SCHEMA,
    width: { step: 44 },
    height: { step: 22 },
    data: { values: Array.from(cells.values(), cell => ({ ...cell, dark: cell.share > most * 0.6 })) },
    encoding: {
      x: { field: 'to', type: 'nominal', title: 'to', axis: { orient: 'top', labelAngle: -45 } },
      y: { field: 'from', type: 'nominal', title: 'from' },
    },
    layer: [
      {
        mark: { type: 'rect' },
        encoding: {
          color: {
            field: 'share',
            type: 'quantitative',
            title: 'of all new flows',
            scale: { range: ['#e6f0ff', '#1f6feb'], zero: true },
            legend: null,
          },
        },
      },
      {
        mark: { type: 'text', fontSize: 10 },
        encoding: {
          text: { field: 'share', type: 'quantitative', format: '.1%' },
          color: {
            condition: { test: 'datum.dark', value: 'white' },
            value: '#1b1f24',
          },
        },
      },
    ],
  })
}

const change = ({ share_before, share_after }: { share_before: number; share_after: number }): number =>
  Math.abs(share_after - share_before)

const largest = (cells: Iterable<{ share: number }>): number =>
  [...cells].reduce((most, { share }) => Math.max(most, share), 0)

const toSvg = (spec: TopLevelSpec): Promise<string> =>
  new View(parse(compile({ ...spec, background: 'white', config: { font: FONT } } as TopLevelSpec).spec), {
    renderer: 'none',
  }).toSVG()
