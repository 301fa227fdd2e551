/** Bytes of bodies that are held at the same time, by all requests. */
const HELD_AT_MOST = 64 * 1024 * 1024

export type Body =
  | { readonly result: 'read'; readonly bytes: Buffer }
  /** `busy`: others hold too much already. `broken`: it ended early. */
  | { readonly result: 'too-large' | 'busy' | 'broken' }

export type ReadBody = (request: Request, mostBytes: number) => Promise<Body>

/** Reads no more than it may: a length that is announced is believed when it is too large, and counted when not. */
export function createBodyReader(heldAtMost = HELD_AT_MOST): ReadBody {
  let held = 0
  return async (request, mostBytes) => {
    if (Number(request.headers.get('content-length') ?? 0) > mostBytes) return { result: 'too-large' }
    if (request.body === null) return { result: 'read', bytes: Buffer.alloc(0) }
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      for await (const chunk of request.body) {
        size += chunk.length
        held += chunk.length
        if (size > mostBytes) return { result: 'too-large' }
        if (held > heldAtMost) return { result: 'busy' }
        chunks.push(chunk)
      }
      return { result: 'read', bytes: Buffer.concat(chunks) }
    } catch {
      return { result: 'broken' }
    } finally {
      held -= size
    }
  }
}
