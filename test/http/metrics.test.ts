import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCounterMetrics } from '../../reconciler/metrics/counter-metrics.ts'
import { createMetrics } from '../../reconciler/metrics/registry.ts'
import { NODE_COUNTERS_VERSION, type NodeCounters } from '../../schemas/node-counters.ts'
import { makeDrift, makeFleet, makeReport, SECRET, serveApp } from './serve-app.ts'
import { github } from './sign.ts'

const counters = (node: string, services: number, backends: number): NodeCounters => ({
  version: NODE_COUNTERS_VERSION,
  node,
  at: 0,
  services: Object.fromEntries(
    Array.from({ length: services }, (_, service) => [
      `service/203.0.113.${service}:80/tcp`,
      Array.from({ length: backends }, (_, backend) => ({
        address: `10.0.0.${backend}`,
        packets: 10 * (backend + 1),
        bytes: 1000 * (backend + 1),
        newFlows: 2,
        connections: 1,
      })),
    ]),
  ),
  liveFlows: 3,
})

interface Family {
  readonly help: string
  readonly type: string
  readonly samples: ReadonlyMap<string, number>
}

/** Reads the text format (prometheus.io/docs/instrumenting/exposition_formats); fails on what it does not allow. */
function readMetrics(text: string): ReadonlyMap<string, Family> {
  const families = new Map<string, { help: string; type: string; samples: Map<string, number> }>()
  for (const line of text.split('\n').filter(each => each !== '')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      assert.ok(!families.has(name), `${name} is there twice`)
      families.set(name, { help: rest, type: '', samples: new Map() })
    } else if (kind === 'TYPE') families.get(name)!.type = rest
    else {
      const [, sample, labels = '', value] = /^([a-z_:][a-z0-9_:]*)(\{.*\})? (\S+)$/i.exec(line) ?? []
      assert.ok(sample !== undefined, line)
      const family = families.get(sample) ?? families.get(sample.replace(/_(bucket|sum|count)$/, ''))
      assert.ok(family !== undefined, `${sample} has no HELP before it`)
      assert.ok(!family.samples.has(sample + labels), `${line} is there twice`)
      family.samples.set(sample + labels, Number(value))
    }
  }
  return families
}

const BASE_UNITS = /_(seconds|bytes)(_total)?$/
const OTHER_UNITS = /_(ms|milliseconds|minutes|hours|kb|mb|kib|mib|percent)(_|$)/

test('names, units, HELP and TYPE are as Prometheus asks for', async t => {
  const fleet = {
    ...makeFleet([makeReport('lb-1', { drift: [makeDrift(null)] })]),
    readCounters: async () => [counters('lb-1', 2, 2)],
  }
  const app = await serveApp(t, { fleet })
  app.metrics.looked()
  app.metrics.pushSeen()
  app.metrics.accepted()
  app.metrics.phase('plan', 0.25)
  await app.fetch('/webhook/github', { method: 'POST', ...github(SECRET) })
  const response = await app.fetch('/metrics')
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const families = readMetrics(await response.text())
  for (const [name, { help, type, samples }] of families) {
    assert.ok(help.length > 5, `${name} has no HELP`)
    assert.ok(['counter', 'gauge', 'histogram', 'summary'].includes(type), `${name} is of type ${type}`)
    assert.ok(!OTHER_UNITS.test(name), `${name} is not in base units`)
    if (!name.startsWith('ballast_')) continue
    assert.equal(
      name.endsWith('_total'),
      type === 'counter',
      `${name}: counters, and they alone, end in _total`,
    )
    if (type === 'histogram' || /(age|duration)/.test(name)) assert.match(name, BASE_UNITS)
    assert.ok(samples.size > 0 || type === 'gauge', `${name} has no sample`)
  }
  const value = (name: string, labels = ''): number | undefined =>
    families.get(name)?.samples.get(name + labels)
  assert.equal(value('ballast_node_drift_open', '{node="lb-1"}'), 1)
  assert.equal(value('ballast_node_reported_generation', '{node="lb-1"}'), 5)
  assert.equal(value('ballast_node_apply_outcome', '{node="lb-1",outcome="applied"}'), 1)
  assert.equal(value('ballast_webhooks_total', '{forge="github",result="looking"}'), 1)
  assert.equal(value('ballast_git_revisions_accepted_total'), 1)
  assert.equal(value('ballast_queue_reports'), 1)
  const service = 'node="lb-1",service="203.0.113.1:80/tcp"'
  assert.equal(value('ballast_service_bytes_total', `{${service}}`), 3000)
  assert.equal(value('ballast_backend_packets_total', `{${service},backend="10.0.0.1"}`), 20)
  assert.equal(value('ballast_backend_connections', `{${service},backend="10.0.0.0"}`), 1)
  assert.equal(
    families
      .get('ballast_reconcile_phase_duration_seconds')
      ?.samples.get('ballast_reconcile_phase_duration_seconds_sum{phase="plan"}'),
    0.25,
  )
})

test('what is asked for by strangers makes no new series', async t => {
  const app = await serveApp(t)
  const scrape = async () => {
    app.clock.now += 2_000
    return readMetrics(await (await app.fetch('/metrics')).text())
  }
  const size = (families: Awaited<ReturnType<typeof scrape>>) =>
    [...families].filter(([name]) => name.startsWith('ballast_')).flatMap(([, { samples }]) => [...samples])
      .length
  await app.fetch('/nothing')
  await app.fetch('/nothing', { method: 'PUT' })
  await scrape()
  const before = size(await scrape())
  for (let n = 0; n < 20; n++) {
    await app.fetch(`/nothing/${n}`)
    await app.fetch(`/nothing/${n}`, { method: 'MKCOL' })
  }
  assert.equal(size(await scrape()), before)
})

describe('series of services and backends', () => {
  test('are bounded; the backends are left out first, and counted', async () => {
    const all = createMetrics('0', () => 0)
    const shown = createCounterMetrics(all, 25)
    shown.show([counters('lb-2', 10, 2), counters('lb-1', 10, 2)])
    const families = readMetrics((await all.scrape()).text)
    assert.equal(families.get('ballast_service_packets_total')?.samples.size, 20)
    assert.equal(families.get('ballast_backend_packets_total')?.samples.size, 5)
    assert.equal(families.get('ballast_metrics_left_out')?.samples.get('ballast_metrics_left_out'), 35)
  })

  test('of nodes that are gone are gone, and values are what was counted, not their sum over scrapes', async () => {
    let now = 0
    const all = createMetrics('0', () => now)
    const shown = createCounterMetrics(all)
    shown.show([counters('lb-1', 1, 1), counters('lb-2', 1, 1)])
    await all.scrape()
    now += 2_000
    shown.show([counters('lb-1', 1, 1)])
    const families = readMetrics((await all.scrape()).text)
    assert.deepEqual(
      [...families.get('ballast_service_packets_total')!.samples],
      [['ballast_service_packets_total{node="lb-1",service="203.0.113.0:80/tcp"}', 10]],
    )
  })
})
