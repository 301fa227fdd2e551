import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'

export interface SeenEvent {
  readonly id: string
  readonly event: string
  readonly data: Record<string, unknown>
}

export interface EventReader {
  readonly seen: SeenEvent[]
  /** Everything as it came, comments too. */
  text(): string
  /** The stream is open, and what happens from now on is in it. */
  readonly opened: Promise<void>
  until(what: string, isSo: (seen: readonly SeenEvent[]) => boolean): Promise<void>
  close(): void
}

/** Reads a stream of server-sent events, as an EventSource does. */
export function readEvents(
  t: Pick<TestContext, 'after'>,
  url: string,
  headers: Record<string, string>,
): EventReader {
  const ending = new AbortController()
  t.after(() => ending.abort())
  const seen: SeenEvent[] = []
  let text = ''
  const opened = Promise.withResolvers<void>()
  const read = async (): Promise<void> => {
    const response = await fetch(url, { headers, signal: ending.signal })
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
    let rest = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      rest += chunk
      const blocks = rest.split('\n\n')
      rest = blocks.pop()!
      opened.resolve()
      seen.push(...blocks.flatMap(parseBlock))
    }
  }
  read().catch(error => opened.reject(error))
  opened.promise.catch(() => {})
  return {
    seen,
    text: () => text,
    opened: opened.promise,
    async until(what, isSo) {
      await opened.promise
      const end = Date.now() + 15_000
      while (!isSo(seen)) {
        if (Date.now() > end) throw new Error(`${what}: not so; seen: ${JSON.stringify(seen)}`)
        await delay(20)
      }
    },
    close: () => ending.abort(),
  }
}

function parseBlock(block: string): SeenEvent[] {
  const fields = new Map(block.split('\n').map(line => line.split(/: (.*)/s) as [string, string]))
  const [id, event, data] = [fields.get('id'), fields.get('event'), fields.get('data')]
  return id === undefined || event === undefined || data === undefined
    ? []
    : [{ id, event, data: JSON.parse(data) }]
}
