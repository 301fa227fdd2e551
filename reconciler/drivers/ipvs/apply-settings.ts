import { isDeepStrictEqual } from 'node:util'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { IpvsSyncRow, IpvsTimeoutsRow, IpvsVipRow } from '../../../schemas/node-state.ts'
import { composeAddress } from './addresses.ts'
import type { Picked } from './claim.ts'
import type { Failures } from './failures.ts'
import { changeAddresses, changeSetting, readAddresses, readDaemons, readServices } from './kernel.ts'
import { createOwnership } from './observe.ts'
import type { Owned } from './owned-file.ts'

/** The kernel changes none whose number is 0. */
export const putTimeouts = ({ tcp, tcpFin, udp }: Omit<IpvsTimeoutsRow, 'kind'>): Promise<void> =>
  changeSetting(['--set', ...[tcp, tcpFin, udp].map(String)])

/** One that runs otherwise is stopped first: the kernel takes no change. */
export async function putDaemon(row: IpvsSyncRow): Promise<void> {
  const running = (await readDaemons()).find(({ role }) => role === row.role)
  if (isDeepStrictEqual(running, row)) return
  if (running !== undefined) await changeSetting(['--stop-daemon', row.role])
  await changeSetting([
    ...['--start-daemon', row.role, '--mcast-interface', row.interface, '--syncid', String(row.id)],
    ...['--sync-maxlen', String(row.maxLength), '--mcast-group', row.group],
    ...['--mcast-port', String(row.port), '--mcast-ttl', String(row.ttl)],
  ])
}

export async function dropDaemon({ role }: IpvsSyncRow): Promise<void> {
  const running = (await readDaemons()).some(each => each.role === role)
  if (running) await changeSetting(['--stop-daemon', role])
}

/** Each on its interface and on no other. */
export async function putAddresses(vips: readonly Picked<IpvsVipRow>[], failures: Failures): Promise<void> {
  if (vips.length === 0) return
  const before = await readAddresses()
  const said = await changeAddresses(
    vips.flatMap(({ row }) => composeAddress(row.address, row.interface, before.get(row.address) ?? [])),
  )
  if (said === '') return
  const holders = await readAddresses()
  for (const { key, row } of vips)
    if (!isDeepStrictEqual(holders.get(row.address), [row.interface])) failures.set(key, notThere(row, said))
}

/** Those that still have services, which somebody added since they were looked at, stay until these are gone. */
export async function dropAddresses(
  owned: Owned,
  vips: readonly Picked<IpvsVipRow>[],
  failures: Failures,
): Promise<void> {
  const ours = vips.filter(({ row }) => row.address in owned.vips)
  if (ours.length === 0) return
  const services = await readServices(createOwnership(owned))
  const isOn = (vips: Owned['vips']) => services.keys.some(createOwnership({ ...owned, marks: [], vips }))
  const used = new Set(ours.filter(({ row }) => isOn({ [row.address]: '' })))
  const holders = await readAddresses()
  const said = await changeAddresses(
    ours
      .filter(vip => !used.has(vip))
      .flatMap(({ row }) => composeAddress(row.address, null, holders.get(row.address) ?? [])),
  )
  for (const { key, row } of used) failures.set(key, inUse(row))
  if (said === '') return
  const after = await readAddresses()
  for (const vip of ours)
    if (!used.has(vip) && after.has(vip.row.address)) failures.set(vip.key, notThere(vip.row, said))
}

const notThere = ({ address, interface: name }: IpvsVipRow, said: string): BallastError =>
  new BallastError({
    code: 'VIP_ADDRESS_NOT_SET',
    message: `the interfaces do not have the VIP ${address} as wanted (${name})${said === '' ? '' : `; ip said: ${said}`}`,
    hint: `Look at \`ip addr show\`; the interface of the VIPs must exist: ip link add ${name} type dummy, or lo.`,
    retryable: true,
  })

const inUse = ({ address }: IpvsVipRow): BallastError =>
  new BallastError({
    code: 'IPVS_VIP_IN_USE',
    message: `there are still IPVS services on ${address}`,
    hint: 'Nothing needs to be done: the next look finds and removes them.',
    retryable: true,
  })
