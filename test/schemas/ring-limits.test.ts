import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { RING_MEMBERS, RING_SLOTS } from '../../schemas/ring-limits.ts'

test('manifests and the packet path agree on the size of a ring', () => {
  const header = readFileSync(resolve(import.meta.dirname, '../../bpf/lb_types.h'), 'utf8')
  const defined = (name: string) => Number(new RegExp(`#define ${name} (\\d+)`).exec(header)?.[1])
  assert.equal(RING_SLOTS, defined('RING_SLOTS'))
  assert.equal(RING_MEMBERS, defined('RING_MEMBERS'))
})
