import { cpus, loadavg, release, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { buildObjects } from '../bpf/balancer.ts'
import { GUE, IPIP, makeCases, openTables } from './cases.ts'
import { openDriver } from './drive.ts'
import { measure } from './measure.ts'

/** `npm run bench:xdp`: what the balancer adds to the cost of a packet, on one CPU. Needs root. */

const { values: options } = parseArgs({
  options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '15' } },
})

await buildObjects()
await runCommand('make', ['-s', '-C', new URL('../../bpf/', import.meta.url).pathname, 'bench'], {
  timeout: 60_000,
})
const before = loadavg()[0]!
using driver = await openDriver()
using tables = await openTables()
const { floors, cases } = measure(driver, makeCases(driver, tables), Number(options.rounds))
const netOf = (name: string): number => cases.find(each => each.name === name)!.value
const ratio = Math.round((netOf(GUE) / netOf(IPIP)) * 100) / 100
const results = [
  ...[...floors, ...cases].map(figure => ({ ...figure, unit: 'ns' })),
  { name: 'gue_over_ipip', value: ratio, n: cases[0]!.n, unit: 'ratio' },
]
const machine = {
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cpus: cpus().length,
  memory: Math.round(totalmem() / 2 ** 20),
  kernel: release(),
  node: process.version,
  load: [before, loadavg()[0]!],
}

if (options.json) {
  console.log(JSON.stringify({ machine, results }))
} else {
  const table = new Table({
    head: ['case', '', 'unit'],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'left'],
  })
  table.push(...results.map(({ name, value, unit }) => [name, value.toFixed(unit === 'ns' ? 1 : 2), unit]))
  console.log(
    `${table}\n${machine.cpu}, kernel ${machine.kernel}; per packet, of cases less the empty program`,
  )
}
