import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignCpus, recogniseCpus } from '../../../reconciler/drivers/xdp/receive-cpus/assign-cpus.ts'
import { groupByQueue } from '../../../reconciler/drivers/xdp/receive-cpus/queue-interrupts.ts'
import { formatCpuList, parseCpuList } from '../../../schemas/cpu-list.ts'

test('CPUs and queues meet by turns, whichever are more', () => {
  assert.deepEqual(assignCpus('0-1', 1), ['0-1'])
  assert.deepEqual(assignCpus('0-1', 2), ['0', '1'])
  assert.deepEqual(assignCpus('2,5', 5), ['2', '5', '2', '5', '2'])
  assert.deepEqual(assignCpus('0-4', 2), ['0,2,4', '1,3'])
  assert.equal(recogniseCpus(['1', '0']), 'uneven')
  assert.equal(recogniseCpus(['0-1', '0-1']), 'uneven')
})

test('every CPU has a queue and every queue a CPU, and what was assigned is recognised', () => {
  const cpus = fc.uniqueArray(fc.nat({ max: 200 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(cpus, fc.integer({ min: 1, max: 40 }), (numbers, queues) => {
      const list = formatCpuList(numbers.toSorted((a, b) => a - b))
      const assigned = assignCpus(list, queues)
      assert.equal(assigned.length, queues)
      assert.ok(assigned.every(each => each !== ''))
      assert.equal(formatCpuList(parseCpuList(assigned.join())), list)
      assert.equal(recogniseCpus(assigned), list)
    }),
  )
})

test('interrupts are told apart by the names that drivers give them', () => {
  const irqs = (...names: string[]) => groupByQueue(names.map((name, irq) => ({ irq, name })))
  assert.deepEqual(
    irqs('virtio2-config', 'virtio2-input.0', 'virtio2-output.0', 'virtio2-input.1', 'virtio2-output.1'),
    [
      [1, 2],
      [3, 4],
    ],
  )
  assert.deepEqual(irqs('eth0-TxRx-1', 'eth0-TxRx-0', 'eth0-TxRx-10', 'eth0'), [[1], [0], [2]])
  assert.deepEqual(
    irqs('mlx5_async0@pci:0000:01:00.0', 'mlx5_comp0@pci:0000:01:00.0', 'mlx5_comp1@pci:0000:01:00.0'),
    [[1], [2]],
  )
  assert.deepEqual(irqs('ena-mgmnt@pci:0000:00:05.0', 'ens5-Tx-Rx-0', 'ens5-Tx-Rx-1'), [[1], [2]])
  assert.deepEqual(irqs('eth0'), [[0]])
  assert.deepEqual(irqs('ice-0000:17:00.0:misc', 'ice-eth0-TxRx-0'), [[1]])
})
