import { formatCpuList, parseCpuList } from '../../../../schemas/cpu-list.ts'

/** The CPUs of each receive queue, so that every CPU has one and every queue has some: by turns, whichever are more. */
export function assignCpus(list: string, queues: number): string[] {
  const cpus = parseCpuList(list)
  return Array.from({ length: queues }, (_, queue) =>
    formatCpuList(
      queues >= cpus.length
        ? [cpus[queue % cpus.length]!]
        : cpus.filter((_, place) => place % queues === queue),
    ),
  )
}

/** The list that `assignCpus` made these of; `uneven` when it made them of none. */
export function recogniseCpus(queues: readonly string[]): string {
  const cpus = formatCpuList(parseCpuList(queues.join()))
  return assignCpus(cpus, queues.length).join(' ') === queues.join(' ') ? cpus : 'uneven'
}
