import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  addressFamily,
  addressFromBytes,
  addressToBytes,
  canonicalAddress,
  compareAddresses,
  serviceId,
} from '../../schemas/address.ts'

const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6())

test('an address survives its bytes, and its canonical text is a fixed point', () => {
  fc.assert(
    fc.property(anyAddress, text => {
      const canonical = canonicalAddress(text)
      assert.equal(addressFromBytes(addressToBytes(text)), canonical)
      assert.equal(canonicalAddress(canonical), canonical)
      assert.equal(addressFamily(text), canonical.includes(':') ? 6 : 4)
    }),
  )
})

test('IPv4 is carried as IPv4-mapped IPv6, and comes back as IPv4', () => {
  assert.equal(
    Buffer.from(addressToBytes('203.0.113.10')).toString('hex'),
    '00000000000000000000ffffcb00710a',
  )
  assert.equal(canonicalAddress('::ffff:203.0.113.10'), '203.0.113.10')
  assert.equal(canonicalAddress('2001:DB8:0:0:0::10'), '2001:db8::10')
})

test('what is no address is refused, also where other programs take it for one', () => {
  for (const text of [
    '',
    '1',
    '10.1',
    '010.0.0.1',
    '0x7f.0.0.1',
    '256.0.0.1',
    '10.0.0.1/32',
    '::g',
    '1:2',
    'host',
  ])
    assert.throws(() => canonicalAddress(text), TypeError, text)
})

test('addresses are ordered by family and as numbers', () => {
  const sorted = ['::1', '10.0.0.10', 'fd00::a', '10.0.0.9', 'fd00::9'].toSorted(compareAddresses)
  assert.deepEqual(sorted, ['10.0.0.9', '10.0.0.10', '::1', 'fd00::9', 'fd00::a'])
})

test('a service is named by VIP, port and protocol, IPv6 in brackets', () => {
  assert.equal(serviceId('203.0.113.10', 443, 'tcp'), '203.0.113.10:443/tcp')
  assert.equal(serviceId('2001:db8::1', 53, 'udp'), '[2001:db8::1]:53/udp')
})
