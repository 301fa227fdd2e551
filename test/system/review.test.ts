import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { addPull, PROJECT, type StandIn, startStandIn } from '../forge/stand-in.ts'
import { sendStorm } from '../http/send-storm.ts'
import { github } from '../http/sign.ts'
import { serveGit } from '../repo/git-server.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const SECRET = 'a secret of the webhooks'
const CLI = new URL('../../reconciler/cli.ts', import.meta.url).pathname
const THREE = makeFiles({ services: { web: { vip: 10, backends: [1, 2, 3] } } })

/** Commits files as a proposal from `base` and gives the ref of a pull request to it. */
async function propose(
  fleet: TestFleet,
  base: string,
  number: number,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  await fleet.git('checkout', '-q', '--detach', base)
  for (const [path, text] of Object.entries(files)) await writeFile(join(fleet.dir, 'tree', path), text)
  await fleet.git('commit', '-qam', `proposal ${number}`)
  const head = await fleet.git('rev-parse', 'HEAD')
  await fleet.git('push', '-q', 'origin', `HEAD:refs/pull/${number}/head`)
  await fleet.git('checkout', '-q', 'main')
  return head
}

const stateOf = (forge: StandIn, revision: string, context: string) =>
  forge.statuses.get(revision)?.get(context)?.state

const tokenFile = async (fleet: TestFleet, forge: StandIn): Promise<string> => {
  const file = join(fleet.dir, 'forge.token')
  await writeFile(file, `${forge.token}\n`, { mode: 0o600 })
  return file
}

async function startReviewing(t: TestContext) {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const git = await serveGit(t, fleet.dir)
  const base = await fleet.push(makeFiles())
  const secrets = join(fleet.dir, 'webhook.secret')
  await writeFile(secrets, `${SECRET}\n`, { mode: 0o600 })
  await fleet.startReconciler(
    ...['--repo', `${git.url}/fleet.git`, '--poll-interval', '200', '--listen', '127.0.0.1:0'],
    ...[
      '--public-url',
      'https://ballast.example.org/',
      '--webhook-secret-file',
      secrets,
      '--forge',
      'github',
      '--forge-url',
      forge.url,
    ],
    ...['--forge-project', PROJECT, '--forge-token-file', await tokenFile(fleet, forge)],
  )
  await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
  const url = () => /answering HTTP.*?(127\.0\.0\.1:\d+)/.exec(fleet.log())?.[1]
  await waitFor('HTTP is answered', async () => url() !== undefined)
  const ask = (number: number, times: number) =>
    sendStorm(
      `http://${url()}/webhook/github`,
      Array.from({ length: times }, () =>
        github(SECRET, JSON.stringify({ action: 'synchronize', number }), 'pull_request'),
      ),
    )
  /** The page that a status leads to. */
  const follow = async (revision: string, context: string): Promise<string> => {
    const said = forge.statuses.get(revision)?.get(context)?.url ?? ''
    assert.ok(said.startsWith('https://ballast.example.org/pages/'), said)
    const answer = await fetch(`http://${url()}${new URL(said).pathname}`)
    assert.equal(answer.status, 200)
    return answer.text()
  }
  return { fleet, forge, base, ask, follow }
}

test('a pull request is planned against the live fleet, said in one comment, merged, and followed to the nodes', async t => {
  const { fleet, forge, base, ask, follow } = await startReviewing(t)
  await fleet.untilApplied(base)
  await waitFor('the first revision is told', async () => stateOf(forge, base, 'ballast/fleet') === 'success')
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head })
  // The branch goes on meanwhile: what is planned is the merge, not the proposal alone.
  const main = await fleet.push({ ...makeFiles(), 'README.md': 'a fleet\n' })
  await fleet.untilApplied(main)

  await ask(1, 1)
  await waitFor('it is planned', async () => stateOf(forge, head, 'ballast/plan') === 'success')
  const comments = forge.comments.filter(({ body }) => body.includes('<!-- ballast-plan -->'))
  assert.equal(comments.length, 1)
  assert.match(comments[0]!.body, /10\.0\.1\.3/)
  assert.match(await follow(head, 'ballast/plan'), /<svg[\s\S]*10\.0\.1\.3/)
  assert.ok(comments[0]!.body.includes(forge.statuses.get(head)!.get('ballast/plan')!.url!))

  await fleet.git('merge', '-q', '--no-edit', head)
  await fleet.git('push', '-q', 'origin', 'HEAD:main')
  const merged = await fleet.git('rev-parse', 'HEAD')
  await fleet.untilApplied(merged)
  await waitFor('it is followed', async () => stateOf(forge, merged, 'ballast/fleet') === 'success')
  assert.match(forge.statuses.get(merged)!.get('ballast/fleet')!.description, /^Applied on 2 of 2 nodes/)
})

test('a thousand webhooks of pull requests are as many answers and one plan of each merge, and a push in their midst is applied', async t => {
  const { fleet, forge, base, ask } = await startReviewing(t)
  await fleet.untilApplied(base)
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head })
  for (let number = 2; number <= 5; number += 1) addPull(forge, { state: 'closed', head })
  const asked = [1, 2, 3, 4, 5].map(number => ask(number, 200))
  const pushed = await fleet.push({ ...makeFiles({ services: { web: { vip: 10, backends: [1] } } }) })
  await fleet.untilApplied(pushed)
  const answers = (await Promise.all(asked)).flat()
  assert.deepEqual([answers.length, new Set(answers)], [1000, new Set([202])])
  await waitFor('it is planned', async () => stateOf(forge, head, 'ballast/plan') !== undefined)
  await ask(1, 1)
  await waitFor('nothing waits', async () => /pull request reviewed/.test(fleet.log()))
  // Of the merge with the branch before the push, and of that after it.
  const plans = fleet.log().match(/pull request reviewed/g)?.length ?? 0
  assert.ok(plans <= 3, `${plans} plans`)
  const looked = forge.requests.filter(request => /^GET .*\/pulls\//.test(request)).length
  assert.ok(looked < 300, `the forge was asked ${looked} times for 1,000 webhooks`)
})

test('what cannot be merged is said where it was proposed, and a refused revision where it is', async t => {
  const { fleet, forge, base, ask, follow } = await startReviewing(t)
  const broken = THREE['services/web.yaml']!.replace('203.0.113.10', '203.0.113.999')
  const head = await propose(fleet, base, 1, { 'services/web.yaml': broken })
  addPull(forge, { head })
  await fleet.untilApplied(base)
  await ask(1, 1)
  await waitFor('it is refused', async () => stateOf(forge, head, 'ballast/plan') === 'failure')
  assert.match(forge.comments[0]!.body, /services\/web\.yaml:\d+:\d+/)
  await fleet.git('push', '-q', 'origin', `${head}:main`)
  await waitFor('the push is refused', async () => stateOf(forge, head, 'ballast/fleet') === 'failure')
  assert.match(
    forge.statuses.get(head)!.get('ballast/fleet')!.description,
    /^Refused: services\/web\.yaml:8 spec\.vip/,
  )
  assert.match(await follow(head, 'ballast/fleet'), /<pre>services\/web\.yaml:\d+:\d+ error/)

  // What mends the branch is compared with what is accepted.
  const mended = await propose(fleet, head, 2, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head: mended })
  await ask(2, 1)
  await waitFor('it is planned', async () => stateOf(forge, mended, 'ballast/plan') === 'success')
  assert.ok(forge.comments.at(-1)!.body.includes(`${base.slice(0, 12)}\` → `), forge.comments.at(-1)!.body)
})

/** `ballast review` as a job of GitHub runs it, in the fleet's work tree with the branch checked out. */
const createJob =
  (fleet: TestFleet, forge: StandIn, number: number) =>
  (env: Record<string, string>, ...args: string[]) =>
    runCommand(process.execPath, [CLI, 'review', '--repo', join(fleet.dir, 'tree'), ...args], {
      okExitCodes: [0, 1, 2],
      timeout: 60_000,
      env: {
        PATH: process.env.PATH,
        GITHUB_ACTIONS: 'true',
        GITHUB_API_URL: forge.url,
        GITHUB_REPOSITORY: PROJECT,
        GITHUB_REF: `refs/pull/${number}/merge`,
        GITHUB_BASE_REF: 'main',
        GITHUB_STEP_SUMMARY: join(fleet.dir, 'summary.md'),
        ...env,
      },
    })

test('a job of CI says the same by itself; without a token only beside the job', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const base = await fleet.push(makeFiles())
  const head = await propose(fleet, base, 4, { 'services/web.yaml': THREE['services/web.yaml']! })
  for (let number = 1; number <= 4; number += 1) addPull(forge, { head })
  const job = createJob(fleet, forge, 4)
  const review = (env: Record<string, string>, ...args: string[]) =>
    job(env, '--from', base, '--to', head, ...args)
  const fork = await review({})
  assert.deepEqual([fork.exitCode, forge.requests], [2, []])
  assert.match(fork.stderr, /There is no token/)
  assert.match(await readFile(join(fleet.dir, 'summary.md'), 'utf8'), /10\.0\.1\.3/)

  const own = await review({ GITHUB_TOKEN: forge.token }, '--json', '--sarif', join(fleet.dir, 'plan.sarif'))
  assert.equal(own.exitCode, 2, own.stderr)
  assert.equal(FleetPlan.parse(JSON.parse(own.stdout)).totals.update, 2)
  assert.deepEqual(
    forge.comments.map(({ pull }) => pull),
    [4],
  )
  assert.equal(stateOf(forge, head, 'ballast/plan'), 'success')
  assert.equal(JSON.parse(await readFile(join(fleet.dir, 'plan.sarif'), 'utf8')).version, '2.1.0')
  const wrong = await review({ GITHUB_TOKEN: 'stolen' })
  assert.equal(wrong.exitCode, 1)
  assert.match(wrong.stderr, /FORGE_UNAUTHORIZED/)
})

test('a job plans what is proposed, also where the branch is checked out, and says nothing of what it has not fetched', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const base = await fleet.push(makeFiles())
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  const event = join(fleet.dir, 'event.json')
  const pull_request = { number: 1, base: { ref: 'main' }, head: { sha: head } }
  await writeFile(event, JSON.stringify({ number: 1, pull_request }))
  const job = createJob(fleet, forge, 1)
  const fork = await job({ GITHUB_EVENT_PATH: event }, '--json')
  assert.equal(FleetPlan.parse(JSON.parse(fork.stdout)).head, head, fork.stderr)

  const later = 'd'.repeat(40)
  addPull(forge, { head: later })
  const raced = await job({ GITHUB_EVENT_PATH: event, GITHUB_TOKEN: forge.token })
  assert.equal(raced.exitCode, 1)
  assert.ok(raced.stderr.includes(later), raced.stderr)
  assert.deepEqual([forge.comments, forge.statuses.size], [[], 0])
})

test('a job says in the pull request that it conflicts, or what is wrong with it', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const base = await fleet.push(makeFiles())
  const two = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  const broken = THREE['services/web.yaml']!.replace('203.0.113.10', '203.0.113.999')
  const bad = await propose(fleet, base, 2, { 'services/web.yaml': broken })
  for (const head of [two, bad]) addPull(forge, { head })
  const wrong = await createJob(fleet, forge, 2)({ GITHUB_TOKEN: forge.token })
  assert.equal(wrong.exitCode, 1)
  assert.match(
    forge.statuses.get(bad)!.get('ballast/plan')!.description,
    /^services\/web\.yaml:\d+:\d+ error /,
  )

  await fleet.git('push', '-q', 'origin', `${bad}:main`)
  await fleet.git('fetch', '-q')
  const mends = await propose(fleet, bad, 3, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head: mends })
  await createJob(fleet, forge, 3)({ GITHUB_TOKEN: forge.token })
  assert.match(forge.comments.find(({ pull }) => pull === 3)!.body, /no plan, since main itself is not valid/)
  await fleet.git('push', '-q', '--force', 'origin', `${base}:main`)

  await fleet.push(makeFiles({ services: { web: { vip: 10, backends: [1] } } }))
  const conflict = await createJob(fleet, forge, 1)({ GITHUB_TOKEN: forge.token })
  assert.equal(conflict.exitCode, 1)
  const { state, description } = forge.statuses.get(two)!.get('ballast/plan')!
  assert.deepEqual([state, description], ['failure', 'Conflicts with main: services/web.yaml'])
  assert.match(forge.comments.find(({ pull }) => pull === 1)!.body, /Conflicts with main/)
})

test('a forge that takes nothing keeps nobody from reading the plan in the log of the job', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const base = await fleet.push(makeFiles())
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head })
  // Also one that has no time at first.
  Object.assign(forge, { failWith: 429, failHeaders: { 'retry-after': '1' } })
  forge.readOnly = true
  const telling = createJob(fleet, forge, 1)({ GITHUB_TOKEN: forge.token })
  await waitFor('the forge is asked', async () => forge.requests.length > 0)
  forge.failWith = null
  const told = await telling
  assert.deepEqual([told.exitCode, /10\.0\.1\.3/.test(told.stdout)], [1, true])
  assert.match(told.stderr, /trying again in \d s[\s\S]*FORGE_UNAUTHORIZED/)
})

/** What a template has a runner do in a shell, with this Ballast in place of a release. */
const readTemplate = async <Shape>(file: string): Promise<Shape> =>
  parse(await readFile(new URL(`../../${file}`, import.meta.url), 'utf8'))

const runScript = (script: string, cwd: string, env: Record<string, string>) =>
  runCommand('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], {
    cwd,
    okExitCodes: [0, 1, 2],
    timeout: 60_000,
    env: { PATH: process.env.PATH, ...env },
  })

test('the action tells the forge, shows the plan in its log, and writes what it is asked for', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'gitea')
  const base = await fleet.push(makeFiles())
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  addPull(forge, { head })
  const { runs } = await readTemplate<{ runs: { steps: { run: string }[] } }>('action.yml')
  const script = runs.steps.at(-1)!.run
  const outputs = join(fleet.dir, 'outputs')
  const run = async (env: Record<string, string>) => {
    await writeFile(outputs, '')
    const ran = await runScript(script, join(fleet.dir, 'tree'), {
      GITHUB_ACTIONS: 'true',
      GITEA_ACTIONS: 'true',
      GITHUB_SERVER_URL: forge.url,
      GITHUB_REPOSITORY: PROJECT,
      GITHUB_REF: 'refs/pull/1/head',
      GITHUB_WORKSPACE: join(fleet.dir, 'tree'),
      GITHUB_OUTPUT: outputs,
      RUNNER_TEMP: fleet.dir,
      ACTION: new URL('../..', import.meta.url).pathname,
      GITHUB_TOKEN: forge.token,
      BALLAST_CONFIG: '',
      BALLAST_PATH: '',
      ...env,
    })
    return { ...ran, outputs: await readFile(outputs, 'utf8') }
  }
  const html = join(fleet.dir, 'plan.html')
  const ran = await run({ HTML: html })
  assert.equal(ran.exitCode, 0, ran.stderr)
  assert.match(ran.stdout, /10\.0\.1\.3/)
  assert.match(ran.outputs, /^digest=[0-9a-f]{64}\nchanges=true\n$/)
  assert.match(await readFile(html, 'utf8'), /<svg/)
  assert.equal(stateOf(forge, head, 'ballast/plan'), 'success')
  assert.equal((await run({ FAIL_ON_CHANGES: 'true' })).exitCode, 2)
  const live = await run({ LIVE: 'true' })
  assert.deepEqual([live.exitCode, live.outputs], [1, ''])
  assert.match(live.stderr, /REDIS_UNREACHABLE/)
})

test('the template of GitLab compares with the branch of the project that a fork is to be merged into', async t => {
  const fleet = await createFleet(t)
  const git = await serveGit(t, fleet.dir)
  const old = await fleet.push(makeFiles())
  await fleet.git('branch', 'old', old)
  const base = await fleet.push({ ...makeFiles(), 'README.md': 'a fleet\n' })
  const head = await propose(fleet, base, 1, { 'services/web.yaml': THREE['services/web.yaml']! })
  // A clone of the fork, whose own main is old.
  const clone = join(fleet.dir, 'clone')
  await runCommand('git', ['clone', '-q', join(fleet.dir, 'tree'), clone])
  const inClone = (...args: string[]) => runCommand('git', ['-C', clone, ...args])
  await inClone('update-ref', 'refs/remotes/origin/main', old)
  await inClone('checkout', '-q', '--detach', head)
  const { 'ballast review': job } = await readTemplate<{ 'ballast review': { script: string[] } }>(
    'deploy/ci/gitlab.yml',
  )
  // The first gets the release.
  const steps = job.script.slice(1)
  const program = `${process.execPath} ${CLI}`
  const ran = await runScript(steps.join('\n').replaceAll('/opt/ballast/bin/ballast', program), clone, {
    GITLAB_CI: 'true',
    CI_PROJECT_DIR: clone,
    CI_COMMIT_SHA: head,
    CI_MERGE_REQUEST_IID: '1',
    CI_MERGE_REQUEST_PROJECT_PATH: PROJECT,
    CI_MERGE_REQUEST_PROJECT_URL: `${git.url}/fleet`,
    CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: 'someone/policy',
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
  })
  assert.equal(ran.exitCode, 0, ran.stderr)
  assert.ok(ran.stdout.includes(`${base.slice(0, 12)}\` → \`${head.slice(0, 12)}`), ran.stdout)
  assert.match(ran.stdout, /10\.0\.1\.3/)
})
