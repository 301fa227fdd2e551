import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

export interface ComparedFigure {
  readonly name: string
  readonly title: string
  /** To iptables DNAT. */
  readonly ratio: number
}

/** An SVG: a bar for each, as a multiple of iptables DNAT. */
export function drawComparison(figures: readonly ComparedFigure[]): Promise<string> {
  const y = {
    field: 'title',
    type: 'nominal',
    sort: null,
    axis: { title: null, labelLimit: 220, ticks: false, domain: false },
  } as const
  const x = {
    field: 'ratio',
    type: 'quantitative',
    axis: { title: 'packets per second, × iptables DNAT' },
  } as const
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    title: {
      text: 'Packets forwarded by one CPU',
      subtitle:
        'Linux 6.1 in QEMU, emulated processor: ratios illustrate, and prove nothing about a network card',
    },
    width: 480,
    height: 200,
    data: {
      values: figures.map(({ title, ratio, name }) => ({ title, ratio, own: name.startsWith('ballast') })),
    },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: {
          x,
          y,
          color: {
            field: 'own',
            type: 'nominal',
            legend: null,
            scale: { domain: [false, true], range: ['#9ecae9', '#4c78a8'] },
          },
        },
      },
      {
        mark: { type: 'text', align: 'left', dx: 4 },
        encoding: { x, y, text: { field: 'ratio', type: 'quantitative', format: '.2f' } },
      },
    ],
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
