import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const ROOT = resolve(import.meta.dirname, '../..')

const explain = (...args: string[]) => {
  const cli = join(ROOT, 'reconciler/cli.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'explain', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { status, stdout, stderr }
}

const MANIFESTS = ['--dir', 'manifests']

test('explain names service, slot, backend and encapsulation of every node, the same on all (rule 4)', () => {
  const { status, stdout } = explain('tcp', '198.51.100.7:40000', '203.0.113.10:80', ...MANIFESTS, '--json')
  assert.equal(status, 0)
  const { flow, nodes } = JSON.parse(stdout)
  assert.equal(flow.sourcePort, 40_000)
  assert.ok(nodes.length > 1)
  for (const { explanation } of nodes) {
    assert.equal(explanation.service, 'service/203.0.113.10:80/tcp')
    assert.equal(explanation.backend, nodes[0].explanation.backend)
    assert.equal(explanation.encapsulation.destination, explanation.backend)
  }
})

test('explain speaks to people about one node', () => {
  const { status, stdout } = explain(
    'tcp',
    '[2001:db8:1::7]:40000',
    '[2001:db8::10]:1',
    ...MANIFESTS,
    '--node',
    'lb-2',
  )
  assert.equal(status, 2)
  assert.match(stdout, /^lb-2\n(.*\n)*\s+reason\s+drop_unmatched\n$/)
})

for (const [what, args, says] of [
  ['a protocol without ports', ['icmp', '198.51.100.7:1', '203.0.113.10:80'], /icmp is not tcp or udp/],
  ['a missing port', ['tcp', '198.51.100.7', '203.0.113.10:80'], /198\.51\.100\.7 is no address:port/],
  ['port 0', ['tcp', '198.51.100.7:0', '203.0.113.10:80'], /is no address:port/],
  ['two families', ['tcp', '[2001:db8::1]:1', '203.0.113.10:80'], /are of two families/],
  ['no such node', ['tcp', '198.51.100.7:1', '203.0.113.10:80', '--node', 'x'], /There is no node x/],
] as const) {
  test(`explain refuses ${what}`, () => {
    const { status, stderr } = explain(...args, ...MANIFESTS)
    assert.equal(status, 1)
    assert.match(stderr, says)
  })
}
