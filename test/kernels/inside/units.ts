import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, suite, test } from 'node:test'
import { waitUntil } from '../../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { FleetStatus } from '../../../schemas/fleet-status.ts'

/** Under a systemd that runs: a control machine and a load balancer in one, made by the commands of docs/deployment.md. */

const RELEASE = '/opt/ballast/current'
const SETTINGS = '/etc/ballast/reconciler.yaml'
const REDIS = 'ballast-redis'
const RECONCILER = 'ballast-reconciler'
const WORKER = 'ballast-worker@lb-1'
const LIMIT_MS = 240_000

const MANIFESTS = `
apiVersion: ballast.dev/v1
kind: Fleet
metadata: { name: trial }
spec: { vipPrefixes: [{ prefix: 203.0.113.0/24 }], fleetKey: { fingerprint: KEY } }
---
apiVersion: ballast.dev/v1
kind: Node
metadata: { name: lb-1 }
spec:
  interfaces: [{ name: front, attach: native }]
  sources: { ipv4: 10.64.0.0/16 }
  capacity: { flows: 10000, services: 10, members: 100 }
---
apiVersion: ballast.dev/v1
kind: Service
metadata: { name: web }
spec:
  vip: 203.0.113.1
  ports: [{ port: 80, protocol: tcp }]
  backends: [{ address: 10.9.0.1 }, { address: 10.9.0.2 }]
`

const env = { ...process.env, PATH: `${RELEASE}/bin:/usr/sbin:/usr/bin:/sbin:/bin` }

const run = async (file: string, ...args: string[]): Promise<string> =>
  (await runCommand(file, args, { env, timeout: LIMIT_MS })).stdout

const shell = (lines: string): Promise<string> => run('sh', '-euc', lines)

/** The shell lines of a section of the guide, as they stand there. */
function linesOf(section: string): string {
  const guide = readFileSync(`${RELEASE}/docs/deployment.md`, 'utf8')
  const text = guide.split(/^## /m).find(part => part.startsWith(section))
  return /^```sh\n(.*?)^```/ms.exec(text!)![1]!
}

async function propertyOf(unit: string, property: string): Promise<string> {
  return (await run('systemctl', 'show', '--value', '-p', property, unit)).trim()
}

async function untilInSync(what: string): Promise<void> {
  let said = ''
  await waitUntil({ what, deadline: LIMIT_MS }, async () => {
    const args = ['status', '--json', '--config', SETTINGS]
    const options = { okExitCodes: [0, 1, 2], timeout: LIMIT_MS }
    const { stdout, stderr, exitCode } = await runCommand(`${RELEASE}/bin/ballast`, args, options)
    said = stdout + stderr
    if (exitCode !== 0) return null
    const { inSync, nodes } = FleetStatus.parse(JSON.parse(stdout))
    return (inSync && nodes.length === 1) || null
  }).catch(async error => {
    const journals = [RECONCILER, WORKER].flatMap(unit => ['-u', unit])
    assert.fail(`${error}\n${said}\n${await run('journalctl', '-n', '40', '-o', 'cat', ...journals)}`)
  })
}

/** Of the program that takes the packets. */
async function attachedProgram(): Promise<number> {
  const [link] = JSON.parse(await run('ip', '-j', 'link', 'show', 'front'))
  const id: unknown = link.xdp?.prog?.id
  assert.ok(typeof id === 'number', JSON.stringify(link))
  return id
}

suite('the units of a release', () => {
  before(async () => {
    await shell('ip link add front type veth peer name far; ip link set front up; ip link set far up')
    await shell(
      `cp ${RELEASE}/deploy/systemd/*.service /etc/systemd/system/; systemctl daemon-reload; mkdir /etc/ballast`,
    )
  })

  test('Redis, reconciler and worker are started by the lines of the guide, and the node is in sync', async () => {
    await shell(linesOf('4. Redis'))
    const fleetKey = await shell(
      'head -c 16 /dev/urandom > /etc/ballast/fleet.key; sha256sum /etc/ballast/fleet.key | cut -c 1-16',
    )
    await shell(`
      mkdir -p /srv/git
      git init -q --bare -b main /srv/git/fleet.git
      git clone -q /srv/git/fleet.git /run/tree
      cd /run/tree
      git checkout -q -B main
      cat > fleet.yaml <<'END'
${MANIFESTS.replace('KEY', `'${fleetKey.trim()}'`)}
END
      git add -A
      git -c user.name=t -c user.email=t@example.org commit -q -m first
      git push -q origin main
      chown -R ballast: /srv/git`)
    await shell(linesOf('5. The repository').replace(/^ballast status.*$/m, ''))
    await shell(`
      cp ${RELEASE}/deploy/etc/worker.yaml /etc/ballast/
      cat /etc/ballast/redis.password > /etc/ballast/worker.password
      sed -i 's#^redis: .*#redis: redis://127.0.0.1:6379/0#; s#redis.password#worker.password#' /etc/ballast/worker.yaml
      systemctl enable --now ${WORKER}`)
    await untilInSync('lb-1 to be in sync')
  })

  test('they have no capability but those that they name, a filter of system calls, and cannot get others', async () => {
    for (const [unit, capabilities] of [
      [REDIS, []],
      [RECONCILER, []],
      [WORKER, [12, 21, 23]],
    ] as const) {
      const status = readFileSync(`/proc/${await propertyOf(unit, 'MainPID')}/status`, 'utf8')
      const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)![1]!
      const mask = capabilities.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n)
      assert.equal(BigInt(`0x${field('CapBnd')}`), mask, unit)
      assert.equal(BigInt(`0x${field('CapEff')}`), mask, unit)
      assert.deepEqual([field('NoNewPrivs'), field('Seccomp')], ['1', '2'], unit)
    }
  })

  test('what is killed is started again, and the program stays attached', async () => {
    const program = await attachedProgram()
    for (const unit of [WORKER, RECONCILER, REDIS]) {
      await shell(`systemctl kill -s KILL ${unit}`)
      await waitUntil({ what: `${unit} to be started again`, deadline: LIMIT_MS }, async () =>
        (await propertyOf(unit, 'NRestarts')) === '1' && (await propertyOf(unit, 'ActiveState')) === 'active'
          ? true
          : null,
      )
    }
    await untilInSync('lb-1 to be in sync again')
    assert.equal(await attachedProgram(), program)
  })

  test('they end when they are asked to, and the program goes on', async () => {
    const program = await attachedProgram()
    for (const unit of [WORKER, RECONCILER, REDIS]) {
      await shell(`systemctl stop ${unit}`)
      assert.deepEqual(
        [await propertyOf(unit, 'ActiveState'), await propertyOf(unit, 'Result')],
        ['inactive', 'success'],
        unit,
      )
    }
    assert.equal(await attachedProgram(), program)
  })
})
