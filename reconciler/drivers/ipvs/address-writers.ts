import { readdir, readFile, readlink } from 'node:fs/promises'
import type { DriftItem } from '../../../schemas/report.ts'
import { bpfFault } from '../xdp/libbpf/errno.ts'
import { lastErrno, loadLibc } from '../xdp/libbpf/native.ts'
import { AF_NETLINK, ANSWER_BYTES, openNetlink } from '../xdp/libbpf/netlink.ts'
import { type AddressEvent, decodeAddressEvents } from './address-events.ts'

const NETLINK_ROUTE = 0
const RTMGRP_IPV4_IFADDR = 0x10
const RTMGRP_IPV6_IFADDR = 0x100
const MSG_DONTWAIT = 0x40
/** Addresses remembered. */
const KEPT = 1_000

/** Who added or removed addresses of this network namespace. The kernel tells it, and ip(8), by which changes are followed, does not print it. */
export interface AddressWriters {
  /** An address has changed: looks who did it, as long as that lives. */
  look(): void
  /** Of a row of a VIP, who made it what it is: `pid 4711 (keepalived)`; null: the kernel, or not known. */
  find(item: Pick<DriftItem, 'driver' | 'key' | 'kind'>): Promise<string | null>
  close(): void
}

/** Throws where there is no netlink. */
export function openAddressWriters(): AddressWriters {
  const { bind, recv } = loadLibc()
  const socket = openNetlink(NETLINK_ROUTE)
  const { fd } = socket
  const place = Buffer.alloc(12)
  place.writeUInt16LE(AF_NETLINK, 0)
  place.writeUInt32LE(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, 8)
  if (Number(bind(fd, place, place.length)) < 0) {
    socket.close()
    throw bpfFault('listening to netlink', lastErrno())
  }
  const room = Buffer.alloc(ANSWER_BYTES)
  /** By change and address, the one that changed last is last. */
  const writers = new Map<string, Writer>()

  function note({ change, address, port }: AddressEvent): void {
    const name = `${change} ${address}`
    writers.delete(name)
    // At once: ip(8) ends when it is done.
    writers.set(name, { port, comm: port === 0 ? Promise.resolve(null) : readComm(port) })
    if (writers.size > KEPT) writers.delete(writers.keys().next().value!)
  }

  /** What did not fit into the socket's buffer is lost, and named by the next change. */
  function look(): void {
    for (;;) {
      const length = Number(recv(fd, room, room.length, MSG_DONTWAIT))
      if (length <= 0) return
      for (const event of decodeAddressEvents(room.subarray(0, length))) note(event)
    }
  }

  return {
    look,
    async find({ driver, key, kind }) {
      if (driver !== 'ipvs' || !key.startsWith('vip/')) return null
      look()
      // What is put right by adding it was removed by somebody else.
      const change = kind === 'unexpected' ? 'added' : 'removed'
      const writer = writers.get(`${change} ${key.slice('vip/'.length)}`)
      return writer === undefined ? null : nameWriter(writer)
    },
    close: () => socket.close(),
  }
}

interface Writer {
  /** Its netlink port, mostly its process id. */
  readonly port: number
  /** Of the process with that id, when the address changed; null: there was none any more. */
  readonly comm: Promise<string | null>
}

/**
 * Of who has several sockets, or is in another PID namespace, the port is not its process id: what holds the socket is looked
 * for first, which goes through all files of all processes, and so only when somebody asks.
 */
async function nameWriter({ port, comm }: Writer): Promise<string | null> {
  if (port === 0) return null
  const holder = await findHolder(port)
  if (holder !== null) return holder
  const name = await comm
  return name === null
    ? `a process with the netlink port id ${port}, which has ended`
    : `pid ${port} (${name}), by its netlink port id`
}

const readComm = (pid: number): Promise<string | null> =>
  readFile(`/proc/${pid}/comm`, 'utf8').then(
    text => text.trim(),
    () => null,
  )

/** Columns of /proc/net/netlink: the address of the socket, its protocol, its port; the last is its inode. */
async function findHolder(port: number): Promise<string | null> {
  const lines = (await readFile('/proc/net/netlink', 'utf8').catch(() => '')).split('\n')
  const row = lines
    .map(line => line.trim().split(/\s+/))
    .find(([, protocol, id]) => protocol === '0' && id === String(port))
  const inode = row?.at(-1)
  if (inode === undefined) return null
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || !(await holdsSocket(pid, inode))) continue
    return `pid ${pid} (${(await readComm(Number(pid))) ?? '?'})`
  }
  return null
}

async function holdsSocket(pid: string, inode: string): Promise<boolean> {
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
    if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === `socket:[${inode}]`) return true
  return false
}
