/**
 * Which interrupts are those of queues, by the names that drivers give them: `virtio0-input.1`, `eth0-TxRx-3`,
 * `ice-eth0-TxRx-3`, `mlx5_comp3@pci:0000:01:00.0`, `gve-ntfy-blk3@pci:0000:00:04.0`; not `virtio0-config`, `mlx5_async0@…`, `ena-mgmnt@…`.
 */

export interface Interrupt {
  readonly irq: number
  readonly name: string
}

const NOT_OF_QUEUES = /config|async|mgmn?t|misc|ctrl|control|cmd|event|other/i

/** Queue after queue, the interrupts of each: receiving and sending may have one each. */
export function groupByQueue(interrupts: readonly Interrupt[]): number[][] {
  const named = interrupts.flatMap(({ irq, name }) => {
    const [own = ''] = name.split('@')
    const queue = /(\d+)$/.exec(own)?.[1]
    return queue === undefined || NOT_OF_QUEUES.test(own) ? [] : [{ irq, own, queue: Number(queue) }]
  })
  // `eth0` alone is all that a simple card has, and beside others that of no queue.
  const numbered = named.filter(({ own }) => /[-_.]/.test(own))
  const queues = new Map<number, number[]>()
  for (const { irq, queue } of numbered.length > 0 ? numbered : named) {
    queues.set(queue, [...(queues.get(queue) ?? []), irq])
  }
  return [...queues].sort(([a], [b]) => a - b).map(([, irqs]) => irqs)
}
