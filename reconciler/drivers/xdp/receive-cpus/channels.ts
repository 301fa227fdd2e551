import { Descriptor } from '../libbpf/descriptor.ts'
import { bpfFault, EOPNOTSUPP } from '../libbpf/errno.ts'
import { addressOf, lastErrno, loadLibc } from '../libbpf/native.ts'

/** Pairs of a receiving and a sending queue (include/uapi/linux/ethtool.h), as `ethtool -l` shows and `ethtool -L` sets them. */
export interface Channels {
  readonly combined: number
  /** 0: the interface has none of them. */
  readonly most: number
}

const SIOCETHTOOL = 0x8946
const ETHTOOL_GCHANNELS = 0x3c
const ETHTOOL_SCHANNELS = 0x3d
const AF_INET = 2
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000
const NAME_BYTES = 16
const REQUEST_BYTES = 40
/** cmd, four maxima, four counts; of either the last one is combined. */
const CHANNELS_BYTES = 36
const MAX_COMBINED = 16
const COMBINED = 32

/** Of an interface in the network namespace of this process. */
export function readChannels(name: string): Channels {
  const channels = ask(name)
  if (channels === null) return { combined: 0, most: 0 }
  return { combined: channels.readUInt32LE(COMBINED), most: channels.readUInt32LE(MAX_COMBINED) }
}

/** Throws `BPF_*` when the driver refuses; many let the link go down for a moment. */
export function writeChannels(name: string, combined: number): void {
  const channels = ask(name)
  if (channels === null) throw bpfFault(`setting the channels of ${name}`, EOPNOTSUPP)
  channels.writeUInt32LE(ETHTOOL_SCHANNELS, 0)
  channels.writeUInt32LE(combined, COMBINED)
  const fault = control(name, channels)
  if (fault !== 0) throw bpfFault(`setting ${combined} combined channels of ${name}`, fault)
}

function ask(name: string): Buffer | null {
  const channels = Buffer.alloc(CHANNELS_BYTES)
  channels.writeUInt32LE(ETHTOOL_GCHANNELS, 0)
  return control(name, channels) === 0 ? channels : null
}

/** 0, or what is wrong. */
function control(name: string, data: Buffer): number {
  const { socket, ioctl } = loadLibc()
  const fd = Number(socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0))
  if (fd < 0) throw bpfFault('opening a socket', lastErrno())
  using _ = new Descriptor(fd)
  const request = Buffer.alloc(REQUEST_BYTES)
  request.write(name, 0, NAME_BYTES - 1, 'latin1')
  request.writeBigUInt64LE(addressOf(data), NAME_BYTES)
  return Number(ioctl(fd, SIOCETHTOOL, request)) === 0 ? 0 : lastErrno()
}
