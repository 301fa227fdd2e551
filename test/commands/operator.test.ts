import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'

const MODULE = resolve(import.meta.dirname, '../../reconciler/commands/operator.ts')
const NAMELESS = 54_321

function nameAs(uid: number, env: NodeJS.ProcessEnv): string {
  const code = `const { nameOperator } = await import('${MODULE}')
process.setuid(${uid})
process.stdout.write(nameOperator())`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    env,
    encoding: 'utf8',
  })
  return stdout || stderr
}

test('who runs a command is the caller of sudo, the user, or the number of one without a name', {
  skip: process.getuid?.() !== 0,
}, () => {
  assert.equal(nameAs(0, { SUDO_USER: 'ann' }), 'ann')
  assert.equal(nameAs(0, {}), 'root')
  assert.equal(nameAs(NAMELESS, {}), `uid ${NAMELESS}`)
})
