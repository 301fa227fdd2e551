import assert from 'node:assert/strict'
import { cpSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { makeRepository } from '../repo/make-repository.ts'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const EXAMPLE = resolve(import.meta.dirname, '../../manifests')

test('--changed leaves out of the JSON what stays as it is, and nothing else; it is refused without JSON', async t => {
  const repository = makeRepository(t)
  cpSync(EXAMPLE, repository.dir, { recursive: true })
  const from = repository.commit()
  const dns = readFileSync(join(repository.dir, 'services/dns.yaml'), 'utf8')
  repository.write('services/dns.yaml', `${dns}  hashBy: source\n`)
  const to = repository.commit()
  const plan = (...args: string[]) =>
    runCommand(
      process.execPath,
      [CLI, 'plan', '--repo', repository.dir, '--from', from, '--to', to, ...args],
      {
        okExitCodes: [1, 2],
        timeout: 60_000,
      },
    )
  const read = async (...args: string[]): Promise<FleetPlan> =>
    FleetPlan.parse(JSON.parse((await plan('--json', ...args)).stdout))
  const [whole, changed] = [await read(), await read('--changed')]
  assert.deepEqual(
    changed.services.map(({ service }) => service),
    ['dns'],
  )
  assert.ok(whole.services.length > 1)
  assert.deepEqual({ ...changed, services: [] }, { ...whole, services: [] })
  const refused = await plan('--changed')
  assert.deepEqual([refused.exitCode, refused.stderr], [1, '--changed is of JSON: give --json too.\n'])
})
