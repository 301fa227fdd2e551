/** Takes lines and runs of bytes, in turn, from a stream of bytes. */
export interface ByteReader {
  /** Up to the next line feed, without it. Throws when the stream ends first. */
  line(): Promise<string>
  bytes(length: number): Promise<Uint8Array>
  /** Reads to the end and throws it away, also when the stream fails. */
  drain(): Promise<void>
}

const LINE_FEED = 0x0a

export function createByteReader(stream: NodeJS.ReadableStream): ByteReader {
  const chunks = stream[Symbol.asyncIterator]()
  let buffer: Buffer = Buffer.alloc(0)

  async function next(): Promise<Buffer> {
    const { value, done } = await chunks.next()
    if (done === true) throw new Error('the stream ended early')
    return value as unknown as Buffer
  }

  return {
    async line() {
      let end = buffer.indexOf(LINE_FEED)
      while (end < 0) {
        const searched = buffer.length
        buffer = Buffer.concat([buffer, await next()])
        end = buffer.indexOf(LINE_FEED, searched)
      }
      const line = buffer.toString('utf8', 0, end)
      buffer = buffer.subarray(end + 1)
      return line
    },
    async bytes(length) {
      const parts = [buffer]
      for (let have = buffer.length; have < length; have += parts.at(-1)!.length) parts.push(await next())
      const whole = parts.length === 1 ? buffer : Buffer.concat(parts)
      buffer = whole.subarray(length)
      return whole.subarray(0, length)
    },
    async drain() {
      buffer = Buffer.alloc(0)
      while ((await chunks.next().catch(() => ({ done: true }))).done !== true);
    },
  }
}
