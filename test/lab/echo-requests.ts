import koffi from 'koffi'
import { addressFamily, addressToBytes } from '../../schemas/address.ts'

/**
 * `node echo-requests.ts ADDRESS COUNT`: sends so many echo requests, one after the other, and prints how many were
 * answered with what they said. By a socket of the kernel's own ping, which takes in nothing but answers whose checksum and
 * identifier are right, and which `ping_group_range` allows.
 */
const [address = '', count = ''] = process.argv.slice(2)
const libc = koffi.load(null)
const socket = libc.func('int socket(int domain, int type, int protocol)')
const connect = libc.func('int connect(int fd, const void *address, unsigned int length)')
const setOption = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, unsigned int length)',
)
const send = libc.func('long send(int fd, const void *data, size_t size, int flags)')
const recv = libc.func('long recv(int fd, void *data, size_t size, int flags)')

const [SOCK_DGRAM, SOL_SOCKET, SO_RCVTIMEO] = [2, 1, 20]
const HEADER_BYTES = 8
const ipv6 = addressFamily(address) === 6
const { domain, protocol, request, answer } = ipv6
  ? { domain: 10, protocol: 58, request: 128, answer: 129 }
  : { domain: 2, protocol: 1, request: 8, answer: 0 }

const target = Buffer.alloc(ipv6 ? 28 : 16)
target.writeUInt16LE(domain)
const bytes = addressToBytes(address)
target.set(ipv6 ? bytes : bytes.subarray(-4), ipv6 ? 8 : 4)
const patience = Buffer.alloc(16)
patience.writeBigInt64LE(2n)

const fd: number = socket(domain, SOCK_DGRAM, protocol)
if (fd < 0 || connect(fd, target, target.length) !== 0) throw new Error('there is no ping socket')
setOption(fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length)

let answered = 0
for (let sequence = 1; sequence <= Number(count); sequence++) {
  const message = Buffer.alloc(HEADER_BYTES + 56, sequence)
  message.writeUInt8(request)
  message.writeUInt8(0, 1)
  message.writeUInt16BE(sequence, 6)
  send(fd, message, message.length, 0)
  const received = Buffer.alloc(1500)
  const length = Number(recv(fd, received, received.length, 0))
  const said = received.subarray(6, length)
  if (received[0] === answer && said.equals(message.subarray(6))) answered++
}
console.log(answered)
