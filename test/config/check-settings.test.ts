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

const receiver = (text: string): string => `alerts: { receivers: [${text}] }\nstateDir: /x\n`

test('a receiver of an unknown type, or of none, is a fault at its place, and not a file without settings', () => {
  const found = (text: string) =>
    checkSettings('b.yaml', receiver(text)).diagnostics.map(({ rule, message }) => `${rule} ${message}`)
  assert.deepEqual(found('{ name: a, type: mail }'), [
    'field-value alerts.receivers[0].type is "mail", which is none of alertmanager, slack, webhook, command.',
  ])
  assert.deepEqual(found('{ name: a }'), ['field-missing alerts.receivers[0].type is missing.'])
})

test('an address with a password is refused, since secrets are in files', () => {
  const { diagnostics } = checkSettings(
    'b.yaml',
    receiver('{ name: a, type: webhook, url: "https://me:hidden@example.org/" }'),
  )
  assert.match(diagnostics[0]?.message ?? '', /must hold no user and no password/)
})

test('alerts may be of nodes too: silent ones, paused ones, and those that choose other backends', () => {
  const { diagnostics, settings } = checkSettings(
    'b.yaml',
    'alerts: { receivers: [], rules: [{ kinds: [unreachable, paused, rings-disagree] }] }\n',
  )
  assert.deepEqual(diagnostics, [])
  assert.deepEqual(settings.alerts?.rules[0]?.kinds, ['unreachable', 'paused', 'rings-disagree'])
})
