import { canonicalAddress } from '../../../schemas/address.ts'
import type { IpvsSyncRow, IpvsTimeoutsRow } from '../../../schemas/node-state.ts'
import { unreadable } from './failures.ts'

/** The output of `ipvsadm -L --timeout`. Throws `IPVS_OUTPUT_UNREADABLE`. */
export function parseTimeouts(text: string): IpvsTimeoutsRow {
  const numbers = /^Timeout \(tcp tcpfin udp\): (\d+) (\d+) (\d+)\n?$/.exec(text)
  if (numbers === null) throw unreadable('ipvsadm -L --timeout', text)
  const [tcp, tcpFin, udp] = numbers.slice(1).map(Number) as [number, number, number]
  return { kind: 'timeouts', tcp, tcpFin, udp }
}

const DAEMON =
  /^(master|backup) sync daemon \(mcast=([^,\s]{1,15}), syncid=(\d+), maxlen=(\d+), group=([^,\s]+), port=(\d+), ttl=(\d+)\)$/

/** The output of `ipvsadm -L --daemon`: a line for each daemon that runs. Throws `IPVS_OUTPUT_UNREADABLE`. */
export function parseDaemons(text: string): IpvsSyncRow[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const found = DAEMON.exec(line)
      if (found === null) throw unreadable('ipvsadm -L --daemon', line)
      const [, role, name, id, maxLength, group, port, ttl] = found
      return {
        kind: 'sync',
        role: role as IpvsSyncRow['role'],
        interface: name!,
        id: Number(id),
        group: canonicalAddress(group!),
        port: Number(port),
        ttl: Number(ttl),
        maxLength: Number(maxLength),
      }
    })
}
