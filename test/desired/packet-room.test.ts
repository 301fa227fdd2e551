import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { computePacketRoom } from '../../reconciler/desired/packet-room.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`

const node = (name: string, mtu: number): string =>
  document(
    'Node',
    name,
    `{interfaces: [{name: eth0}], mtu: ${mtu}, sources: {ipv4: 10.0.1.1/32, ipv6: "fd00::1/128"}}`,
  )

function roomOf(...services: readonly [name: string, spec: string][]) {
  const texts = [
    document('Fleet', 'demo', '{}'),
    node('lb-1', 1500),
    node('lb-2', 1600),
    ...services.map(([name, spec]) => document('Service', name, `{${spec}}`)),
  ]
  const files = texts.map((text, i) => ({ path: `${i}.yaml`, text }))
  return computePacketRoom(buildDesired(parseManifests(files).manifests))
}

const V4 = 'vip: 203.0.113.10'
const V6 = 'vip: "2001:db8::10"'
const TCP = 'ports: [{port: 80, protocol: tcp}]'
const UDP = 'ports: [{port: 53, protocol: udp}]'
const TO4 = 'backends: [{address: 10.0.11.1}]'
const TO6 = 'backends: [{address: 10.0.11.1}, {address: "fd00::2"}]'
const ALL6 = 'backends: [{address: "fd00::2"}]'
const ON_2 = 'nodes: {names: [lb-2]}'

test('the room of a packet follows from mtu, encapsulation and families (RFC 2003, 2473, 6691)', () => {
  const cases = [
    [`${V4}, ${TCP}, ${TO4}`, 1500, 20, 1480, 1440],
    [`${V4}, ${TCP}, ${TO6}`, 1500, 40, 1460, 1420],
    [`${V6}, ${TCP}, ${ALL6}`, 1500, 40, 1460, 1400],
    [`${V4}, ${TCP}, ${TO4}, ${ON_2}`, 1600, 20, 1580, 1540],
    [`${V4}, ${TCP}, ${TO4}, forwarding: gue`, 1500, 28, 1472, 1432],
    [`${V4}, ${TCP}, ${TO4}, forwarding: gue, gue: {variant: 0}`, 1500, 32, 1468, 1428],
    [`${V6}, ${TCP}, ${ALL6}, forwarding: gue`, 1500, 48, 1452, 1392],
    [`${V4}, ${TCP}, ${TO4}, forwarding: l2`, 1500, 0, 1500, 1460],
    [`${V4}, ${UDP}, ${TO4}`, 1500, 20, 1480, null],
  ] as const
  for (const [spec, mtu, overhead, packet, mss] of cases) {
    const [room] = roomOf(['web', spec])
    assert.deepEqual([room?.mtu, room?.overhead, room?.packet, room?.mss], [mtu, overhead, packet, mss], spec)
  }
})

test('there is one for every VIP of a service, TCP on one of its ports being enough', () => {
  const both = 'ports: [{port: 53, protocol: udp}, {port: 53, protocol: tcp}]'
  const rooms = roomOf(
    ['dns', `vip: [203.0.113.53, "2001:db8::53"], ${both}, ${ALL6}`],
    ['aaa', `${V4}, ${TCP}, ${TO4}`],
  )
  assert.deepEqual(
    rooms.map(({ service, vip, mss }) => [service, vip, mss]),
    [
      ['aaa', '203.0.113.10', 1440],
      ['dns', '2001:db8::53', 1400],
      ['dns', '203.0.113.53', 1420],
    ],
  )
})
