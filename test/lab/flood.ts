import { once } from 'node:events'
import koffi from 'koffi'
import { addressToBytes } from '../../schemas/address.ts'
import { buildFrame, ETHERNET_BYTES, Tcp } from '../bpf/packet.ts'

/**
 * SYNs and ACKs, half of each, of flows that nobody has: `node flood.ts ORDER`, with `{vip, port, perSecond}` as JSON,
 * until SIGTERM; then prints how many. Sources are of 198.18.0.0/15 (RFC 2544), which nobody answers for.
 */
const { vip, port, perSecond } = JSON.parse(process.argv[2] ?? '') as {
  vip: string
  port: number
  perSecond: number
}
const AF_INET = 2
const SOCK_RAW = 3
const IPPROTO_RAW = 255
const BATCH_MS = 10

const libc = koffi.load(null)
const socket = libc.func('int socket(int domain, int type, int protocol)')
const sendto = libc.func(
  'long sendto(int fd, const void *packet, size_t size, int flags, const void *address, uint32_t length)',
)
const fd: number = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)
if (fd < 0) throw new Error('no raw socket')
const destination = Buffer.alloc(16)
destination.writeUInt16LE(AF_INET)
destination.set(addressToBytes(vip).subarray(12), 4)

let sent = 0
function sendOne(): void {
  const number = sent++
  const source = `198.${18 + ((number >> 20) & 1)}.${(number >> 12) & 0xff}.${(number >> 4) & 0xff}`
  const sourcePort = 1024 + ((number * 40_503) & 0x7fff)
  const tcpFlags = number % 2 === 0 ? Tcp.syn : Tcp.ack
  const packet = buildFrame({ source, sourcePort, vip, port, protocol: 'tcp', tcpFlags }).subarray(
    ETHERNET_BYTES,
  )
  sendto(fd, packet, packet.length, 0, destination, destination.length)
}

const timer = setInterval(() => {
  for (let i = 0; i < (perSecond * BATCH_MS) / 1000; i++) sendOne()
}, BATCH_MS)
await once(process, 'SIGTERM')
clearInterval(timer)
process.stdout.write(`${JSON.stringify({ sent })}\n`)
process.exit(0)
