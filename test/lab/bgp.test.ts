import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { failuresOf } from '../../reconciler/lab/measure-traffic.ts'
import { askBird, birdPlace, pidFileOf, startBird } from '../../reconciler/lab/routing.ts'
import { type Load, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { BALANCERS, type BgpLab, VIP, withBgpLab } from './bgp-lab.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'
const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const TARGETS = [`http://${VIP}/`, 'http://[2001:db8::10]/', 'udp://203.0.113.53:53']

/** Runs with requests all the time, of which none may fail. */
const underLoad = (work: (bgp: BgpLab, load: Load) => Promise<void>): Promise<void> =>
  withBgpLab(
    async policy => {
      for (const node of BALANCERS)
        await policy.replace(
          `nodes/${node}.yaml`,
          '  bgp:',
          '  drain: { shutdownTime: 1, timeout: 3 }\n  bgp:',
        )
    },
    async bgp => {
      const load = await startLoad(bgp.lab, { targets: TARGETS, interval: 5, timeout: 5_000 })
      await work(bgp, load)
      await load.stop()
      assert.ok(load.events.length > 100)
      assert.deepEqual(failuresOf(load.events), [])
    },
  )

test(
  'a load balancer is taken away by a commit and given back by another, and no request fails (rule 2)',
  { skip },
  () =>
    underLoad(async ({ policy, untilRouted, control }) => {
      const file = join(policy.clone, 'nodes/lb-1.yaml')
      const peers = ['ipv4', 'ipv6'].map(family => join(policy.clone, `peers/router-1-${family}.yaml`))
      const texts = new Map(
        await Promise.all([file, ...peers].map(async each => [each, await readFile(each)] as const)),
      )
      for (const each of texts.keys()) await rm(each)
      await policy.commit('lb-1 goes')
      await policy.push()
      await untilRouted(VIP, ['lb-2'])
      await waitUntil({ what: 'lb-1 to be drained and empty', deadline: 30_000 }, async () => {
        const { nodes } = await control.status()
        return nodes.find(({ name }) => name === 'lb-1')?.wanted === null ? true : null
      })
      for (const [each, text] of texts) await writeFile(each, text)
      await policy.commit('lb-1 is back')
      await policy.push()
      await untilRouted(VIP, BALANCERS)
    }),
)

test(
  'a BGP daemon that is killed, and routes that are withdrawn by hand, are put right (rule 5)',
  { skip },
  () =>
    underLoad(async ({ lab, untilRouted, control }) => {
      process.kill(Number.parseInt(await readFile(pidFileOf(lab, 'lb-1'), 'utf8'), 10), 'SIGKILL')
      await untilRouted(VIP, ['lb-2'])
      await startBird(lab, 'lb-1')
      await untilRouted(VIP, BALANCERS)

      const { file } = birdPlace(lab, 'lb-2')
      const text = await readFile(file, 'utf8')
      assert.match(text, /route 203\.0\.113\.10\/32/)
      await writeFile(file, text.replace(/^.*route 203\.0\.113\.10\/32.*$/m, ''))
      await askBird(lab, 'lb-2', 'configure')
      await untilRouted(VIP, BALANCERS)
      await waitUntil({ what: 'the drift to be told and healed', deadline: 20_000 }, async () => {
        const { nodes } = await control.status()
        const drift = nodes.find(({ name }) => name === 'lb-2')?.drift ?? []
        const found = drift.find(({ driver, healedAt }) => driver === 'bgp' && healedAt !== null)
        return found === undefined ? null : true
      })
    }),
)

test(
  'a detached program is withdrawn by the watchdog, though the worker is dead, and announced when it is back',
  { skip },
  () =>
    underLoad(async ({ lab, untilRouted, control }) => {
      const settings = [
        '--config',
        join(lab.dir, 'ballast.yaml'),
        '--bird-socket',
        birdPlace(lab, 'lb-1').socket,
      ]
      const watchdog = await startProgram(
        ...lab.on('lb-1', [process.execPath, CLI, 'watchdog', '--node', 'lb-1', ...settings]),
        { stderr: 'inherit' },
      )
      await control.killWorker('lb-1')
      const pin = join(lab.bpffs, 'ballast/lb-1/link/eth0')
      await runCommand(...lab.on('lb-1', ['bpftool', 'link', 'detach', 'pinned', pin]))
      await untilRouted(VIP, ['lb-2'])
      await control.startWorker('lb-1')
      await untilRouted(VIP, BALANCERS)
      await watchdog.stop()
    }),
)
