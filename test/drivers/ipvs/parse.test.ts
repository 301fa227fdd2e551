import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { composeAddress, parseAddresses } from '../../../reconciler/drivers/ipvs/addresses.ts'
import { composeService } from '../../../reconciler/drivers/ipvs/compose-batch.ts'
import { parseListing } from '../../../reconciler/drivers/ipvs/parse-listing.ts'
import { parseRules } from '../../../reconciler/drivers/ipvs/parse-rules.ts'
import { parseDaemons, parseTimeouts } from '../../../reconciler/drivers/ipvs/parse-settings.ts'
import type { IpvsServiceRow } from '../../../schemas/node-state.ts'
import { backend, ipvsTable, keyOfRow, service } from './tables.ts'

/** Output of ipvsadm 1.31 and iproute2 6.1 on Linux 6.1. */
const golden = (name: string): string => readFileSync(resolve(import.meta.dirname, 'golden', name), 'utf8')

const unreadable = { code: 'IPVS_OUTPUT_UNREADABLE' }

test('every line that ipvsadm saves is understood, and composing it again gives the line', () => {
  for (const file of ['save.txt', 'save-edited.txt']) {
    const saved = [...parseRules(golden(file)).values()]
    const rows = saved.map(({ match, policy, backends }) =>
      service({
        match,
        ...policy(),
        backends: backends.map(({ address, port, policy: of }) => backend({ address, port, ...of() })),
      }),
    )
    const again = parseRules(withoutThresholds(rows.flatMap(row => composeService(undefined, row).lines)))
    assert.deepEqual(
      [...again.keys()],
      saved.map(({ match }) => keyOfRow(service({ match }))),
    )
    for (const [i, { policy, backends }] of [...again.values()].entries()) {
      assert.deepEqual(policy(), saved[i]!.policy())
      assert.deepEqual(
        backends.map(({ policy: of }) => of()),
        saved[i]!.backends.map(({ policy: of }) => of()),
      )
    }
  }
})

test('what is saved has its flags, masks, marks and tunnels', () => {
  const saved = parseRules(golden('save.txt'))
  assert.deepEqual(saved.get('service/203.0.113.1:80/tcp')?.policy(), {
    scheduler: 'mh',
    schedulerFlags: { port: true, fallback: true },
    persistence: null,
    onePacket: false,
  })
  const persistence = (key: string) => saved.get(key)?.policy().persistence
  assert.deepEqual(persistence('service/203.0.113.1:99/sctp'), { timeout: 300, prefixLength: 24, engine: '' })
  assert.deepEqual(persistence('service/[2001:db8::1]:443/tcp'), {
    timeout: 300,
    prefixLength: 64,
    engine: '',
  })
  assert.deepEqual(persistence('fwmark/7/ipv6'), { timeout: 10, prefixLength: 128, engine: '' })
  assert.equal(saved.get('service/203.0.113.1:53/udp')?.policy().onePacket, true)
  const forwardings = saved
    .get('service/203.0.113.1:80/tcp')!
    .backends.map(({ policy }) => policy().forwarding)
  assert.deepEqual(forwardings, [
    { method: 'ipip' },
    { method: 'gue', port: 6080, checksum: 'none' },
    { method: 'ipip' },
    { method: 'gue', port: 6080, checksum: 'full' },
    { method: 'gue', port: 6080, checksum: 'remote' },
    { method: 'gre', checksum: 'none' },
    { method: 'gre', checksum: 'full' },
    { method: 'l2' },
    { method: 'nat' },
  ])
})

test('a listing has thresholds, and the backends oldest first', () => {
  assert.deepEqual(parseListing(golden('listing.txt')).get('service/203.0.113.1:80/tcp'), [
    { address: '10.0.0.2', port: 80, upper: 10, lower: 4, active: 0, inactive: 0 },
    { address: '10.0.0.1', port: 80, upper: 0, lower: 0, active: 0, inactive: 0 },
  ])
  const sorted = parseListing(golden('listing-sorted.txt'))
  assert.deepEqual([...sorted.keys()], [...parseRules(golden('save-edited.txt')).keys()])
})

test('time-outs, daemons and addresses are read', () => {
  assert.deepEqual(parseTimeouts(golden('timeouts.txt')), {
    kind: 'timeouts',
    tcp: 1000,
    tcpFin: 60,
    udp: 200,
  })
  // In the second file, the backup daemon was started without a length.
  for (const [file, longest] of [
    ['daemons.txt', 1472],
    ['daemons-debian.txt', 1452],
  ] as const)
    assert.deepEqual(parseDaemons(golden(file)).map(Object.values), [
      ['sync', 'master', 'd0', 7, '224.0.1.9', 9000, 3, 1400],
      ['sync', 'backup', 'd0', 7, 'ff05::9', 9000, 3, longest],
    ])
  assert.deepEqual(parseDaemons(''), [])
  assert.deepEqual(
    [...parseAddresses(golden('addresses.json'))],
    [
      ['::1', ['lo']],
      ['203.0.113.1', ['d0']],
    ],
  )
})

test('a line that is not understood is an error, and so is one of ours whose options are not', () => {
  for (const line of [
    '-A -x 203.0.113.1:80 -s rr',
    '-A -t 203.0.113.1 -s rr',
    '-Z -t 203.0.113.1:80',
    'hello',
  ])
    assert.throws(() => parseRules(`${line}\n`), unreadable, line)
  assert.throws(() => parseRules('-a -t 203.0.113.1:80 -r 10.0.0.1:80 -g -w 1\n'), unreadable)
  const odd = parseRules('-A -t 203.0.113.1:80 -s rr --new 1\n-a -t 203.0.113.1:80 -r 10.0.0.1:80 -z -w 1\n')
  const [one] = [...odd.values()]
  assert.throws(() => one!.policy(), unreadable)
  assert.throws(() => one!.backends[0]!.policy(), unreadable)

  const listing = golden('listing.txt')
  assert.throws(() => parseListing(''), unreadable)
  for (const line of ['ESP  203.0.113.1:80 rr', '  -> 10.0.0.1:80   0   0   0', '  -> 10.0.0.1 0 0 0 0'])
    assert.throws(() => parseListing(`${listing}${line}\n`), unreadable, line)
  assert.throws(() => parseTimeouts('Timeout (tcp udp): 1 2\n'), unreadable)
  assert.throws(() => parseDaemons('master sync daemon (mcast=d0)\n'), unreadable)
  assert.throws(() => parseAddresses('Device "x" does not exist.'), unreadable)
})

const withoutThresholds = (lines: readonly string[]): string =>
  lines.map(line => `${line.replace(/ -x \d+ -y \d+$/, '')}\n`).join('')

/** What the kernel makes of lines for `-R`: backends by `address:port`, in the order in which they were added. */
function play(backends: readonly string[], lines: readonly string[]): string[] {
  const list = [...backends]
  for (const line of lines) {
    const [, operation, , id] = /^-(\w) (.*) -r (\S+)/.exec(line) ?? []
    if (operation === 'd') list.splice(list.indexOf(id!), 1)
    if (operation === 'a') list.push(id!)
  }
  return list
}

const namesOf = ({ backends }: IpvsServiceRow) =>
  backends.map(({ address, port }) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`))

test('a batch leads from any backends to any others in their order, and one alone is missing at a time', () => {
  const rows = ipvsTable(['lo']).map(table => Object.values(table).filter(row => row.kind === 'service'))
  fc.assert(
    fc.property(rows, rows, (a, b) => {
      for (const before of a)
        for (const after of b) {
          const existing = { ...before, match: after.match, scheduler: 'mh' }
          const wanted = { ...after, scheduler: 'mh' }
          const { lines } = composeService(existing, wanted)
          assert.deepEqual(play(namesOf(existing), lines), namesOf(wanted))
          assert.deepEqual(composeService(wanted, wanted), { lines: [], rotates: false })
          const staying = namesOf(existing).filter(name => namesOf(wanted).includes(name))
          for (const step of lines.keys()) {
            const there = play(namesOf(existing), lines.slice(0, step + 1))
            assert.ok(staying.filter(name => !there.includes(name)).length <= 1)
          }
        }
    }),
  )
})

test('every line of a batch says all attributes: what is left out, ipvsadm would set to 0', () => {
  const before = service({ backends: [backend({ address: '10.0.0.1', upper: 9, lower: 2 })] })
  const after = service({
    schedulerFlags: { port: true, fallback: false },
    backends: [backend({ address: '10.0.0.1', weight: 7, upper: 9, lower: 2 })],
  })
  assert.deepEqual(composeService(before, after).lines, [
    '-E -t 203.0.113.1:80 -s mh -b mh-port',
    '-e -t 203.0.113.1:80 -r 10.0.0.1:80 -i -w 7 -x 9 -y 2',
  ])
})

test('an address comes to its interface before it leaves another', () => {
  assert.deepEqual(composeAddress('2001:db8::1', 'vips', ['lo']), [
    'addr add 2001:db8::1/128 dev vips nodad',
    'addr del 2001:db8::1/128 dev lo',
  ])
  assert.deepEqual(composeAddress('203.0.113.1', 'lo', ['lo']), [])
  assert.deepEqual(composeAddress('203.0.113.1', null, ['lo']), ['addr del 203.0.113.1/32 dev lo'])
})
