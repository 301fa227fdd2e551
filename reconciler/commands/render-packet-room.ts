import Table from 'cli-table3'
import type { PacketRoom } from '../desired/packet-room.ts'

/** What clients send at most, nearly everywhere. */
const CLIENT_MTU = 1500
const NAMED = 3

/** As a table, services with the same room in one line; '' for none. */
export function renderPacketRoom(rooms: readonly PacketRoom[]): string {
  if (rooms.length === 0) return ''
  const groups = new Map<string, PacketRoom[]>()
  for (const room of rooms) {
    const alike = [room.encapsulation, room.mtu, room.overhead, room.mss].join()
    groups.set(alike, [...(groups.get(alike) ?? []), room])
  }
  const table = new Table({
    head: ['service', 'encapsulation', 'mtu', 'adds', 'largest packet', 'MSS at most'],
    style: { head: [], border: [] },
  })
  for (const [first, ...others] of groups.values()) {
    const { encapsulation, mtu, overhead, packet, mss } = first!
    const names = [...new Set([first!, ...others].map(({ service }) => service))]
    table.push([nameSome(names), encapsulation, mtu, overhead, packet, mss ?? '–'])
  }
  const narrow = rooms.filter(({ packet, mss }) => packet < CLIENT_MTU && mss !== null)
  const advice =
    narrow.length === 0
      ? `Clients with an MTU of ${CLIENT_MTU} fit.`
      : `Clients with an MTU of ${CLIENT_MTU} do not fit everywhere. Give the network between nodes and backends a larger MTU and write it into the Node's mtu, or have backends announce no larger MSS: ip route change default ... advmss ${Math.min(...narrow.map(({ mss }) => mss!))}`
  return `${table.toString()}\n${advice}\n`
}

const nameSome = (names: readonly string[]): string =>
  names.length <= NAMED
    ? names.join(', ')
    : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`
