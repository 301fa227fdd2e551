import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { endProcessesIn } from '../../reconciler/lab/end-processes.ts'
import { failuresOf, startOf } from '../../reconciler/lab/measure-traffic.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { type BgpLab, VIP, withBgpLab } from './bgp-lab.ts'
import { hold } from './client-programs.ts'
import { skip } from './xdp-lab.ts'

/** lb-1 is the canary of a fleet of two, by what routers spread over both. */
const WAVES = `
  rollout:
    canary: { names: [lb-1] }
    steps: []
    bake: 10m
    gates: { drops: 0.01, resets: 0.01, newFlowFailures: 0.05 }
`
const ONE = '10.80.11.1'
const TWO = '10.80.12.1'
/** Its machine answers, and nothing listens on it. */
const REFUSES = '10.80.13.1'
/** There is no such machine. */
const NOBODY = '10.80.13.99'
const WEB = `http://${VIP}/`
const OTHERS = ['http://[2001:db8::10]/', 'udp://203.0.113.53:53']

const pool = (name: string, addresses: readonly string[]): string =>
  JSON.stringify({
    ...{ apiVersion: 'ballast.dev/v1', kind: 'BackendPool', metadata: { name } },
    spec: { backends: addresses.map(address => ({ address, weight: 100 })) },
  })

async function prepare({ clone, replace }: BgpLab['policy']): Promise<void> {
  const put = (name: string, addresses: string[]) =>
    writeFile(join(clone, `pools/${name}.yaml`), pool(name, addresses))
  await put('web', [ONE, TWO])
  await put('web6', ['fd00:80:11::1', 'fd00:80:12::1'])
  await put('shop', [ONE, TWO])
  await replace('services/web.yaml', 'pool: web', 'pool: shop')
  for (const node of ['lb-1', 'lb-2'])
    await replace(`nodes/${node}.yaml`, '  bgp:', '  drain: { shutdownTime: 1, timeout: 3 }\n  bgp:')
}

const untilStatus = (lab: BgpLab, what: string, isSo: (status: FleetStatus) => boolean) =>
  waitUntil({ what, deadline: 40_000 }, async () => {
    const status = await lab.control.status()
    return isSo(status) ? status : null
  })

/** Each on top of what is good; `gate` is what must stop it. */
const CASES: readonly {
  what: string
  edit: (policy: BgpLab['policy']) => Promise<void>
  rule: RegExp
  says: RegExp
}[] = [
  {
    what: 'of two new backends one refuses connections and one is a black hole',
    edit: ({ clone }) => writeFile(join(clone, 'pools/shop.yaml'), pool('shop', [ONE, TWO, REFUSES, NOBODY])),
    rule: /^rollout-new-flow-failures$/,
    says: /new connections that nobody answers: \d+\.\d % of \d+ on changed nodes, [0-3]\.\d % (on unchanged|before)/,
  },
  {
    what: 'a backend leaves that has connections',
    edit: ({ clone }) => writeFile(join(clone, 'pools/shop.yaml'), pool('shop', [ONE])),
    rule: /^rollout-resets$/,
    says: /packets of flows that lost their backend/,
  },
  {
    what: 'a port is closed that is in use',
    edit: async ({ clone, replace }) => {
      await writeFile(join(clone, 'pools/shop.yaml'), pool('shop', [ONE, TWO]))
      await replace('services/web.yaml', 'port: 80', 'port: 8080')
    },
    // Until it is gone, no backend of it takes new flows.
    rule: /^rollout-(drops|new-flow-failures)$/,
    says: /packets dropped|new flows without a backend/,
  },
]

test(
  'what real connections meet on a canary closes its gate: it goes back, nobody else ever changes, and no other service has a failure',
  {
    skip,
  },
  () =>
    withBgpLab(prepare, async lab => {
      const { policy } = lab
      await endProcessesIn([lab.lab.namespace('backend-3')])
      await policy.replace('fleet.yaml', '\nspec:\n', `\nspec:${WAVES}`)
      await policy.commit('waves')
      const good = (await policy.push()).revision
      const before = await untilStatus(
        lab,
        'the rules are accepted',
        ({ inSync, repository }) => inSync && repository?.accepted === good,
      )
      const unchanged = before.nodes.find(({ name }) => name === 'lb-2')!.wanted
      const load = await startLoad(lab.lab, { targets: [WEB, ...OTHERS], interval: 10, timeout: 2_000 })
      const held = await hold(lab.lab, 200)
      const spans: { from: number; to: number }[] = []
      for (const { what, edit, rule, says } of CASES) {
        await edit(policy)
        await policy.commit(what)
        const { revision: bad, at: from } = await policy.push()
        const refused = await untilStatus(
          lab,
          `the gate closes as ${what}`,
          ({ repository }) => repository?.rejected?.revision === bad,
        )
        const [problem] = refused.repository!.rejected!.diagnostics
        assert.match(problem!.rule, rule, what)
        assert.match(problem!.message, says)
        const back = await untilStatus(
          lab,
          'the canary goes back',
          ({ nodes: [canary] }) => canary?.wanted?.revision === good && canary.state === 'in-sync',
        )
        spans.push({ from, to: Date.now() })
        assert.equal(back.repository?.accepted, good)
        assert.deepEqual(back.nodes.find(({ name }) => name === 'lb-2')!.wanted, unchanged)
      }
      const { lost = {} } = (await held.stop()) ?? {}
      const answered = load.events.length
      await waitUntil({ what: 'requests after the last one went back', deadline: 20_000 }, () =>
        load.events.length > answered + 100 ? true : null,
      )
      await load.stop()

      const failures = failuresOf(load.events)
      assert.deepEqual(
        failures.filter(({ target }) => target !== WEB),
        [],
      )
      const isMeanwhile = (at: number): boolean => spans.some(({ from, to }) => from <= at && at <= to)
      assert.deepEqual(
        failures.filter(failure => !isMeanwhile(startOf(failure)) && !isMeanwhile(failure.at)),
        [],
      )
      // How many depends on how soon the gates close.
      assert.ok(failures.length > 0, 'clients did meet what the gates saw')
      // Those of lb-2, and of lb-1 those of the other backend, kept theirs.
      const broken = Object.values(lost).reduce((sum, count) => sum + count, 0)
      assert.ok(broken > 0 && broken < 110, `${broken} of 200 connections broke`)
    }),
)
