import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { compareObjects } from '../../reconciler/plan/compare-objects.ts'
import { describeFields, describeValue } from '../../reconciler/plan/describe-fields.ts'
import { wayBack } from '../../reconciler/plan/way-back.ts'

const service = (name: string, weight: number, { vip = 10, annotation = 'x' } = {}): string =>
  `apiVersion: ballast.dev/v1
kind: Service
metadata:
  name: ${name}
  annotations:
    note: ${annotation}
spec:
  vip: 203.0.113.${vip}
  ports:
    - { port: 80, protocol: tcp }
  backends:
    - { address: 10.0.1.1, weight: ${weight} }
    - { address: 10.0.1.2 }
`
const manifests = (files: Readonly<Record<string, string>>) =>
  parseManifests(Object.entries(files).map(([path, text]) => ({ path, text }))).manifests
const compare = (before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>) =>
  compareObjects(manifests(before), manifests(after), ({ name }) => name === 'web')

test('a changed weight is told with its line, an unchanged manifest not at all', () => {
  const other = { 'b.yaml': service('api', 5, { vip: 11 }) }
  assert.deepEqual(
    compare({ 'a.yaml': service('web', 100), ...other }, { 'a.yaml': service('web', 50), ...other }),
    [
      {
        kind: 'Service',
        name: 'web',
        change: 'update',
        renamed_from: null,
        effect: 'traffic',
        fields: [{ text: 'spec.backends.10.0.1.1.weight: 100 → 50', line: 12, column: 36 }],
        at: { file: 'a.yaml', line: 12, column: 36 },
        file_before: null,
      },
    ],
  )
})

test('backends of one address are compared by place', () => {
  const two = (weight: number) =>
    service('web', weight).replace('{ address: 10.0.1.2 }', '{ address: 10.0.1.1, port: 81, weight: 7 }')
  const [object] = compare({ 'a.yaml': two(100) }, { 'a.yaml': two(50) })
  assert.deepEqual(
    object?.fields.map(({ text }) => text),
    ['spec.backends.0.weight: 100 → 50'],
  )
})

test('an annotation is told as changed, without effect and without its text', () => {
  const [object] = compare(
    { 'a.yaml': service('api', 1, { annotation: 'before' }) },
    { 'a.yaml': service('api', 1, { annotation: 'hunter2' }) },
  )
  assert.equal(object?.effect, 'none')
  assert.deepEqual(
    object?.fields.map(({ text }) => text),
    ['metadata.annotations.note: changed'],
  )
})

test('a manifest of the same content under another name is a rename, others come and go', () => {
  const changes = compare(
    { 'a.yaml': service('old', 1), 'b.yaml': service('gone', 1, { vip: 12 }) },
    { 'moved/a.yaml': service('new', 1), 'c.yaml': service('web', 1, { vip: 13 }) },
  )
  assert.deepEqual(
    changes.map(({ name, change, renamed_from }) => [name, change, renamed_from]),
    [
      ['web', 'create', null],
      ['new', 'rename', 'old'],
      ['gone', 'delete', null],
    ],
  )
})

test('values that may be secret are never shown, wherever they stand', () => {
  const before = { password: 'one', nested: { apiToken: 'a', deep: [{ clientSecret: 'b' }] }, mtu: 1 }
  const after = { password: 'two', nested: { apiToken: 'c', deep: [{ clientSecret: 'd' }] }, mtu: 2 }
  assert.deepEqual(describeFields(before, after), [
    'password: (not shown) → (not shown)',
    'nested: {"apiToken":"(not shown)","deep":[{"clientSecret":"(not shown)"}]} → {"apiToken":"(not shown)","deep":[{"clientSecret":"(not shown)"}]}',
    'mtu: 1 → 2',
  ])
  assert.equal(describeValue('list', Array(1000).fill('x')).length, 121)
})

test('the way back puts the files of a change as they were, also behind a merge and a move, and leaves the others', t => {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-way-back-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: dir, env })
      .toString()
      .trim()
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text)
  const commit = (): string => {
    git('add', '-A')
    git('commit', '-qm', 'a change')
    return git('rev-parse', 'HEAD')
  }
  git('init', '-q', '-b', 'main')
  write('old name.yaml', service('web', 100))
  write('moved.yaml', service('dns', 1, { vip: 12 }))
  write('renamed.yaml', service('a', 1, { vip: 13 }))
  write('other.yaml', 'before\n')
  const base = commit()
  git('checkout', '-q', '-b', 'change')
  write('old name.yaml', service('web', 50))
  write('new.yaml', service('api', 1, { vip: 11 }))
  git('rm', '-q', 'moved.yaml', 'renamed.yaml')
  write('there.yaml', service('dns', 2, { vip: 12 }))
  write('b.yaml', service('b', 1, { vip: 13 }))
  commit()
  git('checkout', '-q', 'main')
  write('other.yaml', 'after\n')
  commit()
  git('merge', '-q', '--no-ff', 'change', '-m', 'merged')
  const objects = compare(
    {
      'old name.yaml': service('web', 100),
      'moved.yaml': service('dns', 1, { vip: 12 }),
      'renamed.yaml': service('a', 1, { vip: 13 }),
    },
    {
      'old name.yaml': service('web', 50),
      'new.yaml': service('api', 1, { vip: 11 }),
      'there.yaml': service('dns', 2, { vip: 12 }),
      'b.yaml': service('b', 1, { vip: 13 }),
    },
  )
  const command = wayBack({ base, head: null, objects, path: '' })!
  const withoutPush = command
    .replace(' && git push', '')
    .replace('git commit', 'git -c user.name=t -c user.email=t@example.org commit -q')
  execFileSync('sh', ['-ec', withoutPush], { cwd: dir, env })
  assert.equal(readFileSync(join(dir, 'old name.yaml'), 'utf8'), service('web', 100))
  assert.equal(readFileSync(join(dir, 'other.yaml'), 'utf8'), 'after\n')
  assert.deepEqual(git('ls-files').split('\n'), ['moved.yaml', 'old name.yaml', 'other.yaml', 'renamed.yaml'])
})
