export interface Packet {
  readonly text: string
  /** Offset of what follows it. */
  readonly end: number
}

/** gitprotocol-common(5), "pkt-line Format": four hex digits that count themselves too, then the text. */
export const formatPacket = (text: string): Buffer =>
  Buffer.from(`${(Buffer.byteLength(text) + 4).toString(16).padStart(4, '0')}${text}`)

/** Flush packets are left out. Null when it is something else, or breaks off. */
export function parsePackets(bytes: Buffer): Packet[] | null {
  const packets: Packet[] = []
  for (let at = 0; at < bytes.length; ) {
    const digits = bytes.toString('latin1', at, at + 4)
    if (!/^[0-9a-f]{4}$/i.test(digits)) return null
    const length = Number.parseInt(digits, 16)
    const end = at + Math.max(length, 4)
    if (end > bytes.length) return null
    if (length > 4) packets.push({ text: bytes.toString('utf8', at + 4, end), end })
    at = end
  }
  return packets
}
