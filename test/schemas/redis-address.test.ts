import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseRedisAddress } from '../../schemas/redis-address.ts'
import { Settings } from '../../schemas/settings.ts'

suite('the address of Redis', () => {
  test('says where it is, and how to speak to it', () => {
    assert.deepEqual(parseRedisAddress('unix:/run/redis.sock'), { kind: 'socket', path: '/run/redis.sock' })
    assert.deepEqual(parseRedisAddress('redis://worker@[::1]:7000/2'), {
      kind: 'standalone',
      at: { host: '::1', port: 7000 },
      db: 2,
      tls: false,
      user: 'worker',
    })
    assert.deepEqual(parseRedisAddress('rediss+sentinel://one,two:26380/fleet?db=1'), {
      kind: 'sentinel',
      sentinels: [
        { host: 'one', port: 26379 },
        { host: 'two', port: 26380 },
      ],
      master: 'fleet',
      db: 1,
      tls: true,
      user: null,
    })
    assert.deepEqual(parseRedisAddress('redis+cluster://10.0.0.1,10.0.0.2:6380'), {
      kind: 'cluster',
      nodes: [
        { host: '10.0.0.1', port: 6379 },
        { host: '10.0.0.2', port: 6380 },
      ],
      tls: false,
      user: null,
    })
  })

  for (const [address, problem] of [
    ['http://host', /is no redis:/],
    ['unix:relative', /absolute path/],
    ['redis://user:secret@host', /password/],
    ['redis://one,two', /several hosts/],
    ['redis://host:99999', /host:99999/],
    ['redis://host/name', /number of a database/],
    ['redis+sentinel://host:26379', /name the master/],
    ['redis+cluster://host/1', /database/],
  ] as const) {
    test(`is refused as ${address}`, () => {
      assert.match(String(parseRedisAddress(address)), problem)
      const parsed = Settings.shape.redis.safeParse(address)
      assert.match(parsed.error?.issues[0]?.message ?? '', problem)
    })
  }
})
