import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import type { PolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { askBird, gobgpApi, startGobgp } from '../../reconciler/lab/routing.ts'
import { hostsOf, makeReflectedTopology, REFLECTOR, ROUTER } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { type BgpLab, VIP, withBgpLab } from './bgp-lab.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'
const TOPOLOGY = makeReflectedTopology(3)
const [ALL, OTHERS] = [
  ['lb-1', 'lb-2', 'lb-3'],
  ['lb-1', 'lb-2'],
]
const TARGETS = [`http://${VIP}/`, 'http://[2001:db8::10]/', 'udp://203.0.113.53:53']
const GOBGP = 'lb-3'

/** Three load balancers that have sessions with the reflector alone, one of them by GoBGP. */
async function writeFleet({ clone }: PolicyRepository): Promise<void> {
  const second = await readFile(join(clone, 'nodes/lb-2.yaml'), 'utf8')
  const third = second
    .replaceAll('lb-2', GOBGP)
    .replaceAll(/\b10\.80\.2\./g, '10.80.3.')
    .replaceAll('fd00:80:2:', 'fd00:80:3:')
    .replace('asn: 64513', 'asn: 64513\n    daemon: gobgp')
  const drain = '  drain: { shutdownTime: 1, timeout: 3 }\n  bgp:'
  await writeFile(join(clone, `nodes/${GOBGP}.yaml`), third.replace('  bgp:', drain))
  for (const name of await readdir(join(clone, 'peers'))) await rm(join(clone, 'peers', name))
  const [reflector] = hostsOf(TOPOLOGY, 'reflector')
  for (const [family, address] of Object.entries(reflector!.addresses))
    for (const names of [OTHERS, [GOBGP]]) {
      const name = names.includes(GOBGP) ? `${REFLECTOR}-3-${family}` : `${REFLECTOR}-${family}`
      const bfd = names.includes(GOBGP) ? {} : { bfd: {} }
      const spec = { address, asn: 64513, multihop: 2, nodes: { names }, ...bfd }
      const peer = { apiVersion: 'ballast.dev/v1', kind: 'BgpPeer', metadata: { name }, spec }
      await writeFile(join(clone, `peers/${name}.yaml`), JSON.stringify(peer))
    }
}

test(
  'through a route reflector the router learns every load balancer, those that come and go by commits and one whose GoBGP was killed, and no request fails',
  { skip },
  () =>
    withBgpLab(
      writeFleet,
      async bgp => {
        const load = await startLoad(bgp.lab, { targets: TARGETS, interval: 5, timeout: 5_000 })
        await expectNextHops(bgp, ALL)
        await killGobgp(bgp)
        await withdrawByHand(bgp)
        await takeAwayAndGiveBack(bgp)
        await load.stop()
        assert.ok(load.events.length > 100)
        assert.deepEqual(failuresOf(load.events), [])
      },
      { topology: TOPOLOGY, gobgp: [GOBGP] },
    ),
)

/** A reflector is on no packet's way. */
async function expectNextHops({ lab }: BgpLab, names: readonly string[]): Promise<void> {
  const said = await askBird(lab, ROUTER, 'show', 'route', `${VIP}/32`, 'all')
  const hops = [...said.matchAll(/BGP\.next_hop: (\S+)/g)].map(([, hop]) => hop!)
  const balancers = hostsOf(lab.topology, 'lb').filter(({ name }) => names.includes(name))
  assert.deepEqual(
    hops.sort(),
    balancers.map(({ addresses }) => addresses.ipv4),
  )
}

/** It comes back with nothing, and its worker tells it everything. */
async function killGobgp({ lab, untilRouted }: BgpLab): Promise<void> {
  const { stdout } = await runCommand(...lab.on(GOBGP, ['ss', '-Hltnp', 'sport', '=', ':179']))
  const pid = Number(/gobgpd",pid=(\d+)/.exec(stdout)?.[1])
  assert.ok(pid > 1, stdout)
  process.kill(pid, 'SIGKILL')
  await untilRouted(VIP, OTHERS)
  await startGobgp(lab, GOBGP)
  await untilRouted(VIP, ALL)
}

async function withdrawByHand({ lab, untilRouted, control }: BgpLab): Promise<void> {
  await runCommand('gobgp', ['--target', gobgpApi(lab, GOBGP), 'global', 'rib', 'del', `${VIP}/32`])
  await waitUntil({ what: 'the drift to be told and healed', deadline: 20_000 }, async () => {
    const { nodes } = await control.status()
    const drift = nodes.find(({ name }) => name === GOBGP)?.drift ?? []
    return drift.some(({ key, healedAt }) => key === `route/${VIP}/32` && healedAt !== null) || null
  })
  await untilRouted(VIP, ALL)
}

async function takeAwayAndGiveBack({ policy, untilRouted, control }: BgpLab): Promise<void> {
  const files = [
    `nodes/${GOBGP}.yaml`,
    ...['ipv4', 'ipv6'].map(family => `peers/${REFLECTOR}-3-${family}.yaml`),
  ].map(name => join(policy.clone, name))
  const texts = await Promise.all(files.map(async file => [file, await readFile(file)] as const))
  for (const file of files) await rm(file)
  await policy.commit(`${GOBGP} goes`)
  await policy.push()
  await untilRouted(VIP, OTHERS)
  await waitUntil({ what: `${GOBGP} to be drained and empty`, deadline: 30_000 }, async () => {
    const { nodes } = await control.status()
    return nodes.find(({ name }) => name === GOBGP)?.wanted === null ? true : null
  })
  for (const [file, text] of texts) await writeFile(file, text)
  await policy.commit(`${GOBGP} is back`)
  await policy.push()
  await untilRouted(VIP, ALL)
}
