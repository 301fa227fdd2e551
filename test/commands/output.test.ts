import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const FILES = 1_000

/** Many files with a fault each. */
function makeBroken(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-output-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const broken = 'apiVersion: ballast.dev/v1\nkind: Nothing\n'
  for (let file = 0; file < FILES; file++) writeFileSync(join(dir, `broken-${file}.yaml`), broken)
  return dir
}

/** What comes out of a pipe from `validate --json` to a command of the shell. */
const pipe = (dir: string, reader: string) =>
  spawnSync('sh', ['-c', `"$0" "$1" validate --json "$2" | ${reader}`, process.execPath, CLI, dir], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 64 << 20,
  })

test('output that a pipe has no room for comes whole to who reads it later', t => {
  const { stdout } = pipe(makeBroken(t), '{ sleep 1; cat; }')
  assert.equal(JSON.parse(stdout).diagnostics.length, FILES)
})

test('who reads no further is no failure', t => {
  const { stdout, stderr } = pipe(makeBroken(t), 'head -n 2')
  assert.deepEqual([stdout, stderr], ['{\n  "ok": false,\n', ''])
})
