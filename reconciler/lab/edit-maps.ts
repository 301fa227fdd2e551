import { join } from 'node:path'
import { addressToBytes } from '../../schemas/address.ts'
import { runCommand } from '../process/run-command.ts'
import type { Lab } from './lab.ts'

const TCP = 6
/** An index of the map of rings that the example fleet does not come near. */
const UNUSED_RING = 999

/**
 * What no one should do: adds a TCP service to a load balancer's map of services behind Ballast's back, with
 * bpftool. Gives the command, for people.
 */
export async function addServiceByHand(
  lab: Lab,
  node: string,
  service: { readonly vip: string; readonly port: number },
): Promise<string> {
  // struct service_key and struct service of bpf/lb_types.h; the port in network byte order, the ring in this machine's.
  const key = [...addressToBytes(service.vip), service.port >> 8, service.port & 0xff, TCP, 0]
  const value = new Uint8Array(Uint32Array.of(UNUSED_RING).buffer)
  const map = join(lab.bpffs, 'ballast', node, 'maps/services')
  const update = ['map', 'update', 'pinned', map, 'key', 'hex', ...hex(key), 'value', 'hex', ...hex(value)]
  await runCommand('bpftool', update)
  return `bpftool ${update.join(' ')}`
}

const hex = (bytes: Iterable<number>): string[] =>
  Array.from(bytes, byte => byte.toString(16).padStart(2, '0'))
