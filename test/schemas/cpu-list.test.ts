import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatCpuList, formatCpuMask, parseCpuList, parseCpuMask } from '../../schemas/cpu-list.ts'

const someCpus = fc
  .uniqueArray(fc.nat({ max: 300 }), { minLength: 1 })
  .map(cpus => cpus.toSorted((a, b) => a - b))

test('CPUs come back from a list and from a mask of them', () => {
  fc.assert(
    fc.property(someCpus, cpus => {
      assert.deepEqual(parseCpuList(formatCpuList(cpus)), cpus)
      assert.deepEqual(parseCpuMask(formatCpuMask(cpus)), cpus)
    }),
  )
})

test('lists and masks are written as the kernel writes them', () => {
  assert.equal(formatCpuList(parseCpuList('8,2,1-0,1')), '0-2,8')
  assert.equal(formatCpuList([]), '')
  assert.equal(formatCpuMask([0, 1, 33]), '00000002,00000003')
  assert.deepEqual(parseCpuMask('3\n'), [0, 1])
  assert.deepEqual(parseCpuMask('00000000,00000000'), [])
})
