import assert from 'node:assert/strict'
import { once } from 'node:events'
import { appendFile, copyFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { createControlPlane, writeSettings } from '../../reconciler/lab/control-plane.ts'
import { labDown, labUp } from '../../reconciler/lab/lab.ts'
import { responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { createPolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { startRouting } from '../../reconciler/lab/routing.ts'
import { startBackends, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'

/** The metrics of a process that listens on a unix socket, by sample. */
async function scrape(socketPath: string): Promise<Map<string, number>> {
  const [response] = await once(get({ socketPath, path: '/metrics' }), 'response')
  const lines = (await text(response)).split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

test('what the kernel counts is in the metrics of the worker and of the reconciler', { skip }, async t => {
  const name = `counters-${process.pid}`
  t.after(() => labDown(name))
  const lab = await labUp(name, process.pid)
  const policy = await createPolicyRepository(lab.dir)
  await policy.commit('the fleet')
  await policy.push()
  const [reconciler, lb1] = [join(lab.dir, 'reconciler.sock'), join(lab.dir, 'lb-1.sock')]
  const quiet = await writeSettings(lab, { repo: policy.bare })
  const settingsOf = async (host: string, more: string): Promise<string> => {
    const file = join(lab.dir, `${host}.yaml`)
    await copyFile(quiet, file)
    await appendFile(file, more)
    return file
  }
  const planes = [
    createControlPlane(lab, await settingsOf('reconciler', `listen: unix:${reconciler}\n`)),
    createControlPlane(lab, await settingsOf('lb-1', `listen: unix:${lb1}\ncounterInterval: 300\n`)),
    createControlPlane(lab, await settingsOf('lb-2', 'counterInterval: 0\n')),
  ] as const
  t.after(async () => {
    for (const plane of planes.toReversed()) await plane.stop()
  })
  await planes[0].startReconciler()
  await planes[1].startWorker('lb-1')
  await planes[2].startWorker('lb-2')
  await startRouting(lab)
  await startBackends(lab)
  const applied = { what: 'both nodes to apply', deadline: 30_000 }
  await waitUntil(applied, async () => {
    // Redis may not be there yet.
    const status = await planes[0].status().catch(() => null)
    return status?.inSync === true && status.nodes.length === 2 ? true : null
  })

  await untilRouted(lab, '203.0.113.10', ['lb-1', 'lb-2'])
  const load = await startLoad(lab, { targets: ['http://203.0.113.10/'], interval: 4, timeout: 3_000 })
  await waitUntil({ what: '300 responses', deadline: 30_000 }, () =>
    responsesOf(load.events).length >= 300 ? true : null,
  )
  await load.stop()

  const service = 'node="lb-1",service="203.0.113.10:80/tcp"'
  const sumOfBackends = (found: ReadonlyMap<string, number>, family: string): number =>
    [...found]
      .filter(([sample]) => sample.startsWith(`ballast_backend_${family}{${service},backend=`))
      .reduce((sum, [, value]) => sum + value, 0)
  const isCounted = (found: ReadonlyMap<string, number>): boolean =>
    (found.get(`ballast_service_new_flows_total{${service}}`) ?? 0) > 50
  for (const socket of [lb1, reconciler]) {
    const found = await waitUntil({ what: `flows in ${socket}`, deadline: 30_000 }, async () => {
      const metrics = await scrape(socket)
      return isCounted(metrics) ? metrics : null
    })
    const [packets = 0, bytes = 0, flows = 0] = ['packets_total', 'bytes_total', 'new_flows_total'].map(
      family => found.get(`ballast_service_${family}{${service}}`),
    )
    // Of HTTP over TCP: several packets a flow, of forty bytes at least.
    assert.ok(packets >= 3 * flows && bytes >= 40 * packets, JSON.stringify({ packets, bytes, flows }))
    assert.equal(sumOfBackends(found, 'packets_total'), packets)
    assert.equal(sumOfBackends(found, 'new_flows_total'), flows)
    assert.ok(found.has('ballast_node_live_flows{node="lb-1"}'))
    assert.ok(!found.has('ballast_node_live_flows{node="lb-2"}'))
  }
})
