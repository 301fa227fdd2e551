import { BallastError } from '../../../../schemas/ballast-error.ts'
import type { Descriptor } from '../libbpf/descriptor.ts'
import { bpfFault } from '../libbpf/errno.ts'
import { lastErrno, loadLibc } from '../libbpf/native.ts'
import {
  ANSWER_BYTES,
  type Attributes,
  align,
  HEADER_BYTES,
  openNetlink,
  readAttributes,
} from '../libbpf/netlink.ts'

/** As much of generic netlink as asking for a list takes (include/uapi/linux/genetlink.h), in this network namespace. */

const NETLINK_GENERIC = 16
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const GENL_ID_CTRL = 16
const CTRL_CMD_GETFAMILY = 3
const CTRL_ATTR_FAMILY_ID = 1
const CTRL_ATTR_FAMILY_NAME = 2
const GENERIC_BYTES = 4

export interface GenericRequest {
  readonly family: string
  readonly command: number
  /** Type → value. */
  readonly attributes: readonly (readonly [type: number, value: Buffer])[]
}

/** What the kernel lists; null when it knows no such family or command. */
export function dumpGeneric({ family, command, attributes }: GenericRequest): Attributes[] | null {
  using socket = openNetlink(NETLINK_GENERIC)
  const name: readonly [number, Buffer] = [CTRL_ATTR_FAMILY_NAME, Buffer.from(`${family}\0`)]
  const found = ask(socket, { type: GENL_ID_CTRL, command: CTRL_CMD_GETFAMILY, attributes: [name], flags: 0 })
  const id = found?.[0]?.get(CTRL_ATTR_FAMILY_ID)
  if (id === undefined) return null
  return ask(socket, { type: id.readUInt16LE(), command, attributes, flags: NLM_F_DUMP })
}

interface Message {
  readonly type: number
  readonly command: number
  readonly attributes: GenericRequest['attributes']
  readonly flags: number
}

function ask({ fd }: Descriptor, { type, command, attributes, flags }: Message): Attributes[] | null {
  const body = attributes.flatMap(([kind, value]) => [encodeHeader(kind, value), value, padding(value)])
  const generic = Buffer.from([command, 1, 0, 0])
  const header = Buffer.alloc(HEADER_BYTES)
  const message = Buffer.concat([header, generic, ...body])
  message.writeUInt32LE(message.length, 0)
  message.writeUInt16LE(type, 4)
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6)
  const { send, recv } = loadLibc()
  if (Number(send(fd, message, message.length, 0)) < 0) throw bpfFault('asking netlink', lastErrno())
  const answers: Attributes[] = []
  const room = Buffer.alloc(ANSWER_BYTES)
  for (;;) {
    const length = Number(recv(fd, room, room.length, 0))
    if (length < 0) throw bpfFault('reading from netlink', lastErrno())
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = room.readUInt32LE(at)
      const kind = room.readUInt16LE(at + 4)
      if (kind === NLMSG_DONE) return answers
      if (kind === NLMSG_ERROR) return null
      if (size < HEADER_BYTES + GENERIC_BYTES) throw malformed()
      const attributes = readAttributes(
        Buffer.from(room.subarray(at + HEADER_BYTES + GENERIC_BYTES, at + size)),
      )
      if (attributes === null) throw malformed()
      answers.push(attributes)
      at += align(size)
    }
    if (flags === 0) return answers
  }
}

function encodeHeader(type: number, { length }: Buffer): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(4 + length, 0)
  header.writeUInt16LE(type, 2)
  return header
}

const padding = ({ length }: Buffer): Buffer => Buffer.alloc(align(length) - length)

const malformed = (): BallastError =>
  new BallastError({
    code: 'NETLINK_MALFORMED',
    message: 'netlink gave an answer that cannot be read',
    hint: 'This is a fault of Ballast, or of the kernel.',
  })
