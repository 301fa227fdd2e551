import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { writeSettings } from '../../reconciler/lab/control-plane.ts'
import { labDown, labUp } from '../../reconciler/lab/lab.ts'
import { failuresOf, responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { createPolicyRepository } from '../../reconciler/lab/policy-repository.ts'
import { birdPlace, startRouting } from '../../reconciler/lab/routing.ts'
import { startBackends, startLoad } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'
import { NODE_FLAGS, WORKER_FLAGS } from '../../reconciler/process/node-flags.ts'
import { type Program, runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { FleetStatus } from '../../schemas/fleet-status.ts'
import { makeFiles } from '../system/fleet.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const BUILD_LIMIT_MS = 100_000
const skip = process.getuid?.() === 0 ? false : 'only root may load XDP programs and change users'
/** Of Debian: whatever Node this machine has stays out of sight. */
const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/nonexistent', LANG: 'C.UTF-8' }
const NOBODY = 65534

let dir: string
let release: string
let ballast: string
const programs: Program[] = []

const build = async (outDir: string): Promise<string> => {
  const script = join(ROOT, 'reconciler/build/build.ts')
  const { stdout } = await runCommand(process.execPath, [script, outDir], { timeout: BUILD_LIMIT_MS })
  return stdout.trim()
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ballast-release-'))
  await chmod(dir, 0o755)
  const file = await build(join(dir, 'dist'))
  await runCommand('tar', ['-xzf', file, '-C', dir, '--no-same-owner'], { timeout: 30_000 })
  release = join(dir, (await readdir(dir)).find(name => name.startsWith('ballast-'))!)
  ballast = join(release, 'bin/ballast')
})

async function stopAll(): Promise<void> {
  for (const program of programs.splice(0).reverse()) await program.stop(5_000)
}

after(async () => {
  await stopAll()
  await rm(dir, { recursive: true, force: true })
})

const digestOf = async (file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex')

async function start(...[file, ...args]: [string, ...string[]]): Promise<() => string> {
  const program = await startProgram(file, args, { env, stderr: 'pipe' })
  let said = ''
  program.stderr?.on('data', chunk => {
    said += chunk
  })
  programs.push(program)
  return () => said
}

test('the same source builds the same bytes', { timeout: BUILD_LIMIT_MS }, async () => {
  const [first] = await readdir(join(dir, 'dist'))
  assert.match(first!, /^ballast-\d+\.\d+\.\d+-linux-(x64|arm64)\.tar\.gz$/)
  const again = await build(join(dir, 'again'))
  assert.equal(await digestOf(again), await digestOf(join(dir, 'dist', first!)))
})

test('a release runs with the Node that it brings, also through a link, and validates manifests', async () => {
  const link = join(dir, 'link')
  await runCommand('ln', ['-s', ballast, link])
  const { version } = JSON.parse(await readFile(join(release, 'package.json'), 'utf8'))
  assert.equal((await runCommand(link, ['--version'], { env })).stdout.trim(), version)
  const help = await runCommand(ballast, ['--help'], { env })
  for (const command of ['validate', 'plan', 'status', 'reconciler', 'worker', 'redis', 'lab'])
    assert.match(help.stdout, new RegExp(`^ +${command}\\b`, 'm'))
  const valid = await runCommand(ballast, ['validate', join(release, 'manifests')], { env })
  assert.match(valid.stdout, /valid, 0 errors/)
  const worker = await runCommand(ballast, ['worker', '--help'], { env })
  assert.ok(worker.stdout.replaceAll(/\s+/g, '').includes(join(release, 'bpf/build/lb.bpf.o')))
})

test('Node gets other flags for a worker than for everything else', async () => {
  const place = join(dir, 'launched')
  await cp(ballast, join(place, 'bin/ballast'))
  await mkdir(join(place, 'node/bin'), { recursive: true })
  await writeFile(join(place, 'node/bin/node'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 })
  for (const [args, flags] of [
    [['worker', '--node', 'lb-1'], WORKER_FLAGS],
    [['plan'], NODE_FLAGS],
    [[], NODE_FLAGS],
  ] as const) {
    const { stdout } = await runCommand(join(place, 'bin/ballast'), args, { env })
    assert.equal(stdout.trim(), [...flags, `${place}/bin/../reconciler/cli.js`, ...args].join(' '))
  }
})

test('it carries the licences of everything in it', async () => {
  const licences = await readFile(join(release, 'THIRD-PARTY-LICENSES'), 'utf8')
  for (const name of ['bullmq', 'commander', 'ioredis', 'isomorphic-git', 'koffi', 'pino', 'yaml', 'zod'])
    assert.match(licences, new RegExp(`^${name} \\d`, 'm'))
  for (const file of ['LICENSE', 'bpf/LICENSE', 'node/LICENSE'])
    assert.ok((await readFile(join(release, file), 'utf8')).length > 500, file)
})

test('reconciler and simulated worker run as nobody, without any capability', { skip }, async () => {
  const home = join(dir, 'nobody')
  await mkdir(home)
  await runCommand('chown', [`${NOBODY}:${NOBODY}`, home])
  const drop = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', '--inh-caps', '-all']
  const asNobody: [string, ...string[]] = ['setpriv', ...drop, '--bounding-set', '-all', '--no-new-privs']
  const repo = join(home, 'fleet.git')
  const script = Object.entries(makeFiles({ nodes: ['lb-1'] })).map(
    ([file, text]) => `mkdir -p "$(dirname ${file})" && cat > ${file} <<'END'\n${text}\nEND`,
  )
  const git = 'git -c user.name=t -c user.email=t@example.org'
  const lines = [
    `git init -q --bare -b main ${repo}`,
    `git clone -q ${repo} ${home}/tree 2>/dev/null && cd ${home}/tree && git checkout -q -B main`,
    ...script,
    `git add -A && ${git} commit -q -m first && git push -q origin main`,
  ]
  const [file, ...args] = asNobody
  await runCommand(file, [...args, 'sh', '-ec', lines.join('\n')], { env: { ...env, HOME: home } })

  const state = ['--state-dir', join(home, 'state')]
  const said = await start(...asNobody, ballast, 'reconciler', '--repo', repo, ...state)
  await start(...asNobody, ballast, 'worker', '--node', 'lb-1', '--driver', 'simulated', ...state)
  await waitUntil({ what: `lb-1 to be in sync\n${said()}`, deadline: 20_000 }, () => isInSync(state))
})

test('real workers run with the capabilities of their unit, and packets get through', { skip }, async t => {
  const lab = await labUp(`rel-${process.pid}`, process.pid)
  t.after(async () => {
    // The reconciler is in no namespace of the lab, and would make its folder again.
    await stopAll()
    await labDown(lab.name)
  })
  await startRouting(lab)
  await startBackends(lab)
  const policy = await createPolicyRepository(lab.dir)
  await policy.commit('the example fleet')
  await policy.push()
  const settings = ['--config', await writeSettings(lab, { repo: policy.bare })]
  const confine = async (unit: string): Promise<[string, ...string[]]> => {
    const text = await readFile(join(release, 'deploy/systemd', unit), 'utf8')
    const capabilities = /^CapabilityBoundingSet=(.*)$/m.exec(text)![1]!.toLowerCase().replaceAll('cap_', '+')
    const set = ['-all', ...capabilities.split(' ').filter(Boolean)].join(',')
    return ['setpriv', '--no-new-privs', '--inh-caps', '-all', '--bounding-set', set]
  }
  const reconciler = [...(await confine('ballast-reconciler.service')), ballast, 'reconciler', ...settings]
  await start(...(reconciler as [string, ...string[]]))
  const logs: (() => string)[] = []
  for (const node of ['lb-1', 'lb-2']) {
    const worker = [...(await confine('ballast-worker@.service')), ballast, 'worker', '--node', node]
    const bird = ['--bird-socket', birdPlace(lab, node).socket]
    const [file, args] = lab.on(node, [...worker, ...bird, ...settings] as unknown as [string])
    logs.push(await start(file, ...args))
  }
  await waitUntil({ what: 'both nodes to be in sync', deadline: 30_000 }, () => isInSync(settings)).catch(
    error => assert.fail(`${error}\n${logs.map(log => log()).join('\n')}`),
  )
  await untilRouted(lab, '203.0.113.10', ['lb-1', 'lb-2'])
  const load = await startLoad(lab, { targets: ['http://203.0.113.10/'], interval: 5, timeout: 3_000 })
  await waitUntil({ what: '100 requests', deadline: 20_000 }, () => load.events.length >= 100 || null)
  await load.stop()
  assert.deepEqual(failuresOf(load.events), [])
  assert.ok(new Set(responsesOf(load.events).map(({ backend }) => backend)).size > 1)
})

async function isInSync(flags: readonly string[]): Promise<true | null> {
  const answer = await runCommand(ballast, ['status', '--json', ...flags], { env, okExitCodes: [0, 1, 2] })
  if (answer.exitCode !== 0) return null
  const { inSync, nodes } = FleetStatus.parse(JSON.parse(answer.stdout))
  return (inSync && nodes.length > 0) || null
}

const noSystemd = existsSync('/usr/bin/systemd-analyze') ? false : 'systemd is not installed'

test('the units hold what systemd can check without running them', { skip: noSystemd }, async () => {
  const folder = join(release, 'deploy/systemd')
  for (const unit of await readdir(folder)) {
    const file = join(folder, unit)
    const check = ['verify', '--man=no', '--recursive-errors=no', file]
    const { stderr } = await runCommand('systemd-analyze', check, { okExitCodes: [0, 1] })
    const problems = stderr.split('\n').filter(line => line !== '' && !line.includes('is not executable'))
    assert.deepEqual(problems, [], unit)
    const threshold = unit.includes('@') ? '28' : '20'
    const security = ['security', '--no-pager', '--offline=true', `--threshold=${threshold}`, file]
    await runCommand('systemd-analyze', security)
  }
})
