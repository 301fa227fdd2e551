import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { formatPacket, parsePackets } from '../../reconciler/repo/packet-line.ts'
import { parseAddress } from '../../reconciler/repo/remote-address.ts'

suite('the address of a repository', () => {
  const cases: [string, ReturnType<typeof parseAddress>][] = [
    ['/srv/git/fleet.git', { kind: 'local', dir: '/srv/git/fleet.git' }],
    ['.', { kind: 'local', dir: '.' }],
    ['./host:path', { kind: 'local', dir: './host:path' }],
    ['https://example.org/a/fleet.git/', { kind: 'http', url: 'https://example.org/a/fleet.git' }],
    ['http://[::1]:8080/fleet', { kind: 'http', url: 'http://[::1]:8080/fleet' }],
    ['ssh://git@example.org:2222/fleet.git', { kind: 'ssh', url: 'ssh://git@example.org:2222/fleet.git' }],
    ['git@example.org:fleet.git', { kind: 'ssh', url: 'git@example.org:fleet.git' }],
    ['example.org:/srv/fleet.git', { kind: 'ssh', url: 'example.org:/srv/fleet.git' }],
  ]
  for (const [text, address] of cases) {
    test(`${text} is ${address.kind}`, () => assert.deepEqual(parseAddress(text), address))
  }

  for (const text of [
    'file:///srv/fleet.git',
    'ext::sh -c touch% /tmp/x',
    'git://example.org/fleet.git',
    'ssh://-oProxyCommand=touch/fleet.git',
    'https://ada@example.org/fleet.git',
    'https://ada:secret@example.org/fleet.git',
    'ssh://ada:secret@example.org/fleet.git',
    'https://',
  ]) {
    test(`${text} is refused, or a folder, and no secret is repeated`, () => {
      try {
        assert.equal(parseAddress(text).kind, 'local')
        assert.doesNotMatch(text, /^\w+:\/\//)
      } catch (error) {
        const { code, message, hint } = error as Error & { code: string; hint: string }
        assert.equal(code, 'REPO_ADDRESS_INVALID')
        assert.doesNotMatch(message + hint, /secret@|:secret/)
      }
    })
  }
})

suite('packets of the Git protocol', () => {
  test('come out as they went in', () => {
    const texts = fc.array(fc.string({ minLength: 1, maxLength: 200, unit: 'binary' }))
    fc.assert(
      fc.property(texts, lines => {
        const bytes = Buffer.concat([...lines.map(formatPacket), Buffer.from('0000')])
        assert.deepEqual(
          parsePackets(bytes)?.map(({ text }) => text),
          lines,
        )
      }),
    )
  })

  test('that break off, or are something else, are told from them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        const packets = parsePackets(Buffer.from(bytes))
        assert.ok(packets === null || packets.every(({ end }) => end <= bytes.length))
      }),
    )
    assert.equal(parsePackets(formatPacket('0123456789 refs/heads/main\n').subarray(0, 12)), null)
    assert.equal(parsePackets(Buffer.from('<!doctype html>')), null)
  })
})
