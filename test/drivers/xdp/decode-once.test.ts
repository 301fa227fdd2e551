import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDecodeOnce } from '../../../reconciler/drivers/xdp/decode-once.ts'
import type { Entries } from '../../../reconciler/drivers/xdp/libbpf/maps.ts'

const entriesOf = (keys: string, values: string): Entries => ({
  count: keys.length,
  keys: Buffer.from(keys),
  values: Buffer.from(values),
})

test('what was decoded is given again for the same bytes of the same map, and for no others', () => {
  const decodeOnce = createDecodeOnce<{ text: string }>()
  const decode = (map: number, keys: string, values: string) =>
    decodeOnce(map, entriesOf(keys, values), () => ({ text: `${map} ${keys} ${values}` }))
  const first = decode(1, 'ab', 'xy')
  assert.equal(decode(1, 'ab', 'xy'), first)
  assert.deepEqual(decode(2, 'ab', 'xy'), { text: '2 ab xy' })
  assert.equal(decode(1, 'ab', 'xy'), first)
  assert.deepEqual(decode(1, 'ab', 'xz'), { text: '1 ab xz' })
  assert.deepEqual(decode(1, 'ac', 'xz'), { text: '1 ac xz' })
  assert.deepEqual(decode(1, 'a', 'x'), { text: '1 a x' })
  const again = decode(1, 'ab', 'xy')
  assert.deepEqual(again, first)
  assert.notEqual(again, first)
})
