import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSettings } from '../../reconciler/config/check-settings.ts'

test('settings are read from YAML', () => {
  const { settings, diagnostics } = checkSettings(
    'ballast.yaml',
    'stateDir: /srv/ballast\nscanInterval: 500\n',
  )
  assert.deepEqual(diagnostics, [])
  assert.deepEqual(settings, { stateDir: '/srv/ballast', scanInterval: 500 })
})

test('an empty file is no settings and no fault', () => {
  assert.deepEqual(checkSettings('ballast.yaml', '# nothing yet\n'), { settings: {}, diagnostics: [] })
})

test('everything that is wrong is said at its place, all at once, and nothing is taken', () => {
  const { settings, diagnostics } = checkSettings(
    'ballast.yaml',
    'stateDirr: /x\nscanInterval: fast\nlogLevel: loud\nnode: lb-1\n',
  )
  assert.deepEqual(settings, {})
  assert.deepEqual(
    diagnostics.map(({ rule, at }) => `${at.file}:${at.line}:${at.column} ${rule}`),
    ['ballast.yaml:1:1 field-unknown', 'ballast.yaml:2:15 field-type', 'ballast.yaml:3:11 field-value'],
  )
  assert.match(diagnostics[0]?.hint ?? '', /"stateDir"/)
})

test('traps of YAML are faults here as in manifests', () => {
  const { diagnostics } = checkSettings('ballast.yaml', 'node: yes\nstateDir: [\n')
  assert.ok(diagnostics.length > 0)
  assert.ok(diagnostics.every(({ severity }) => severity === 'error'))
})
