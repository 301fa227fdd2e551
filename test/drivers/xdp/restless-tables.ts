import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'

const attached = (...names: readonly string[]): XdpInterfaceRow[] =>
  names.map(name => ({ kind: 'interface', name, attach: 'native' }))

const services = (count: number, ...backends: readonly string[]) =>
  Array.from({ length: count }, (_, i) =>
    serviceRow({ vip: `203.0.113.${i}`, backends: backendsOf(...backends) }),
  )

/** What `restless.ts` goes to and fro between: much of everything changes each time. */
export const restlessTables = ([first, second]: readonly [string, string]) => [
  tableOf(settingsRow(), ...services(6, '10.0.0.1', '10.0.0.2=3'), ...attached(first)),
  tableOf(
    settingsRow({ mtu: 9000, capacity: { flows: 5000, services: 20, members: 200 } }),
    ...services(12, '10.0.0.2', '10.0.0.3', '2001:db8::1'),
    ...attached(first, second),
  ),
  {},
]
