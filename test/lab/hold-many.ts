import { once } from 'node:events'
import { request } from 'node:http'

/**
 * Many long-lived connections: `node hold-many.ts ORDER`, with `{url, count, interval}` as JSON. Each sends a line
 * every `interval` ms and expects it back. Prints `{kind: "opened"}` when all are, and after SIGTERM `{kind: "ended",
 * lost, silent}`: how many broke, and how many had no echo since the last SIGUSR2.
 */
const { url, count, interval } = JSON.parse(process.argv[2] ?? '') as {
  url: string
  count: number
  interval: number
}
const OPENED_AT_ONCE = 50

const tell = (event: object): unknown => process.stdout.write(`${JSON.stringify(event)}\n`)
const lost = new Map<string, number>()
const heard = new Set<number>()
const timers: NodeJS.Timeout[] = []

async function hold(id: number): Promise<void> {
  const out = request(new URL('/echo', url), { method: 'POST', agent: false })
  let gone = false
  const lose = (reason: string): void => {
    if (!gone) lost.set(reason, (lost.get(reason) ?? 0) + 1)
    gone = true
  }
  out.on('error', error => lose(error.message))
  out.flushHeaders()
  const [back] = await once(out, 'response')
  back.on('error', (error: Error) => lose(error.message))
  back.on('end', () => lose('closed by the backend'))
  back.on('data', () => heard.add(id))
  setTimeout(
    () => {
      timers.push(setInterval(() => gone || out.write('line\n'), interval))
    },
    (id / count) * interval,
  )
}

for (let first = 0; first < count; first += OPENED_AT_ONCE) {
  const ids = Array.from({ length: Math.min(OPENED_AT_ONCE, count - first) }, (_, i) => first + i)
  await Promise.all(ids.map(hold))
}
tell({ kind: 'opened' })
process.on('SIGUSR2', () => heard.clear())
await once(process, 'SIGTERM')
for (const timer of timers) clearInterval(timer)
tell({ kind: 'ended', lost: Object.fromEntries(lost), silent: count - heard.size })
process.exit(0)
