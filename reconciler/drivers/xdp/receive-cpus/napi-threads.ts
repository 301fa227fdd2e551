import { readdirSync, readFileSync } from 'node:fs'
import { dumpGeneric } from './generic-netlink.ts'

/** NAPI threads of an interface: what the kernel polls its receive queues with, once the interface is `threaded`. */

/** include/uapi/linux/netdev.h */
const NETDEV_CMD_NAPI_GET = 11
const NETDEV_A_NAPI_IFINDEX = 1
const NETDEV_A_NAPI_ID = 2
const NETDEV_A_NAPI_PID = 4

/** Process ids, queue after queue. Kernels from 6.8 on tell; of older ones threads are found by name. */
export function findNapiThreads(name: string, ifindex: number): number[] {
  const index = Buffer.alloc(4)
  index.writeUInt32LE(ifindex)
  const napis = dumpGeneric({
    family: 'netdev',
    command: NETDEV_CMD_NAPI_GET,
    attributes: [[NETDEV_A_NAPI_IFINDEX, index]],
  })
  if (napis === null) return findByName(name)
  return napis
    .flatMap(napi => {
      const [id, pid] = [napi.get(NETDEV_A_NAPI_ID), napi.get(NETDEV_A_NAPI_PID)]
      return id === undefined || pid === undefined ? [] : [{ id: id.readUInt32LE(), pid: pid.readUInt32LE() }]
    })
    .sort((a, b) => a.id - b.id)
    .map(({ pid }) => pid)
}

/** `napi/eth0-8193`. Another network namespace may have an interface of that name: who asks looks whether there are too many. */
function findByName(name: string): number[] {
  const threads = readdirSync('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid)) return []
    const id = readThreadId(pid, name)
    return id === undefined ? [] : [{ id, pid: Number(pid) }]
  })
  return threads.sort((a, b) => a.id - b.id).map(({ pid }) => pid)
}

function readThreadId(pid: string, name: string): number | undefined {
  try {
    const comm = readFileSync(`/proc/${pid}/comm`, 'latin1').trimEnd()
    const prefix = `napi/${name}-`
    const id = comm.slice(prefix.length)
    return comm.startsWith(prefix) && /^\d+$/.test(id) ? Number(id) : undefined
  } catch {
    return undefined
  }
}
