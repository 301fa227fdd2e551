import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

/** What one push of one service costs a node in a fleet of a size. */
export interface SizeFigures {
  readonly services: number
  /** Through Redis, both ways. */
  readonly bytes: number
  /** ms. */
  readonly cpu: number
  /** Bytes of the node's whole state as JSON: what would move and be read if all of it did. */
  readonly whole: number
}

const WHOLE = 'the whole state'
const CHANGE = 'what a push costs'

/** An SVG: bytes and CPU time per node and push, over the size of the fleet, on logarithmic axes. */
export function drawFleetSizes(figures: readonly SizeFigures[]): Promise<string> {
  const x = {
    field: 'services',
    type: 'quantitative',
    scale: { type: 'log' },
    axis: { values: figures.map(({ services }) => services), title: 'services in the fleet', format: ',' },
  } as const
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    hconcat: [
      {
        title: 'Redis: bytes per node and push',
        width: 320,
        height: 240,
        data: {
          values: figures.flatMap(({ services, bytes, whole }) => [
            { services, bytes, of: CHANGE },
            { services, bytes: whole, of: WHOLE },
          ]),
        },
        mark: { type: 'line', point: true },
        encoding: {
          x,
          y: {
            field: 'bytes',
            type: 'quantitative',
            scale: { type: 'log' },
            axis: { title: 'bytes', format: '~s' },
          },
          color: {
            field: 'of',
            type: 'nominal',
            title: null,
            sort: [CHANGE, WHOLE],
            legend: { orient: 'bottom' },
          },
        },
      },
      {
        title: 'Worker: CPU time per node and push',
        width: 320,
        height: 240,
        data: { values: figures.map(({ services, cpu }) => ({ services, cpu })) },
        mark: { type: 'line', point: true },
        encoding: {
          x,
          y: { field: 'cpu', type: 'quantitative', scale: { zero: true }, axis: { title: 'ms' } },
        },
      },
    ],
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
