import { join } from 'node:path'
import { addressToBytes } from '../../schemas/address.ts'
import { runCommand } from '../process/run-command.ts'
import type { Lab } from './lab.ts'

/** A TCP service as the BPF map of services knows it. */
export interface ServiceKey {
  readonly vip: string
  readonly port: number
}

const TCP = 6

/** Address, port in network byte order, protocol, zero: `struct service_key` in bpf/lb_types.h. */
const keyBytes = ({ vip, port }: ServiceKey): number[] => [
  ...addressToBytes(vip),
  port >> 8,
  port & 0xff,
  TCP,
  0,
]

const hex = (bytes: readonly number[]): string[] => bytes.map(byte => byte.toString(16).padStart(2, '0'))

const servicesMap = (lab: Lab, node: string): string => join(lab.bpffs, 'ballast', node, 'maps/services')

/**
 * What no one should do: gives a service of a load balancer a second port, behind Ballast's back, with
 * bpftool. Gives the command, for people.
 */
export async function addPortByHand(
  lab: Lab,
  node: string,
  service: ServiceKey,
  port: number,
): Promise<string> {
  const map = servicesMap(lab, node)
  const { stdout } = await runCommand('bpftool', [
    '--json',
    'map',
    'lookup',
    'pinned',
    map,
    'key',
    'hex',
    ...hex(keyBytes(service)),
  ])
  const { value } = JSON.parse(stdout) as { value: string[] }
  const added = [...keyBytes({ ...service, port })]
  const update = [
    'map',
    'update',
    'pinned',
    map,
    'key',
    'hex',
    ...hex(added),
    'value',
    'hex',
    ...value.map(byte => byte.slice(2)),
  ]
  await runCommand('bpftool', update)
  return `bpftool ${update.join(' ')}`
}
