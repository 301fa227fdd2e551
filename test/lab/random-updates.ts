import { createXdpDriver } from '../../reconciler/drivers/xdp/driver.ts'
import { diffTable } from '../../reconciler/plan/diff.ts'
import type { XdpRow } from '../../schemas/node-state.ts'

/**
 * Run on a load balancer of a lab: `node random-updates.ts ORDER`, with `{node, bpffs, objectFile, rows, count, seed}`
 * as JSON. Applies so many random changes to the services among the rows: weights, drains, what chooses the
 * backend, time-outs, services that come and go; now and then the settings too, for which the program is replaced by
 * another one. Backends stay members. Prints how many failed, how many programs there were and what the node counted.
 */
const { rows, count, seed, ...options } = JSON.parse(process.argv[2] ?? '') as {
  node: string
  bpffs: string
  objectFile: string
  rows: Record<string, XdpRow>
  count: number
  seed: number
}

let state = seed
/** From 0 to n - 1 (Knuth's MMIX generator, of which the upper bits are good). */
function draw(n: number): number {
  state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
  return Math.floor((state / 2 ** 32) * n)
}

function change(row: XdpRow): XdpRow {
  if (row.kind !== 'service') return row
  const backends = row.backends.map(backend => ({ ...backend, weight: draw(4) === 0 ? 0 : 1 + draw(100) }))
  const kept = backends.some(({ weight }) => weight > 0) ? backends : row.backends
  const { hashBy: _, ...rest } = row
  const hashBy = (['flow', 'source', 'addresses'] as const)[draw(3)]!
  return {
    ...rest,
    ...(hashBy !== 'flow' && { hashBy }),
    idleTimeout: 60 + draw(60),
    backends: kept,
  }
}

/** A service that nobody uses, on a VIP of the others' prefix. */
function passing(): readonly [string, XdpRow][] {
  const found = Object.values(rows).find(row => row.kind === 'service' && row.vip === '203.0.113.10')
  if (found?.kind !== 'service' || draw(2) === 0) return []
  const port = 1000 + draw(8)
  return [[`service/203.0.113.10:${port}/tcp`, { ...found, port }]]
}

/** Whose program has another constant. */
function resize(row: XdpRow): XdpRow {
  return row.kind === 'settings' ? { ...row, mtu: 1450 + draw(50) } : row
}

const UPDATES_PER_PROGRAM = 30

const driver = createXdpDriver(options)
let observed = (await driver.observe()).rows
let failed = 0
let settings = rows.settings!
const programs = new Set<string>()
for (let done = 0; done < count; done++) {
  const keys = Object.keys(rows)
  const key = keys[draw(keys.length)]!
  if (done % UPDATES_PER_PROGRAM === 0) settings = resize(settings)
  const wanted = {
    ...rows,
    settings,
    [key]: change(key === 'settings' ? settings : rows[key]!),
    ...Object.fromEntries(passing()),
  }
  const outcomes = await driver.apply(diffTable(wanted, observed), AbortSignal.timeout(20_000))
  failed += outcomes.filter(({ result }) => result !== 'applied').length
  observed = wanted
  if (done % UPDATES_PER_PROGRAM === 0) {
    programs.add(JSON.stringify((await driver.observe()).facts.program))
  }
}
const { facts } = await driver.observe()
await driver.close()
process.stdout.write(JSON.stringify({ failed, programs: programs.size, reasons: facts.reasons ?? {} }))
