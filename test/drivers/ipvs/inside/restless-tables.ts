import type { IpvsRow, Table } from '../../../../schemas/node-state.ts'
import { backend, service, sysctl, tableOf, vip } from '../tables.ts'

const backends = (count: number, weight: number) =>
  Array.from({ length: count }, (_, i) =>
    backend({ address: `10.0.0.${i + 1}`, weight, upper: 100 * weight }),
  )

/** Between these goes back and forth whoever is to be killed on the way. */
export const RESTLESS: readonly Table<IpvsRow>[] = [
  tableOf(
    vip('203.0.113.1', 'vips'),
    sysctl('net.ipv4.vs.sloppy_tcp', '1'),
    service({ backends: backends(30, 1) }),
  ),
  tableOf(
    vip('203.0.113.1'),
    vip('2001:db8:f::1'),
    service({ backends: backends(29, 2).reverse().slice(3).reverse() }),
    service({
      match: { by: 'address', vip: '2001:db8:f::1', port: 80, protocol: 'udp' },
      backends: backends(20, 3),
    }),
  ),
]
