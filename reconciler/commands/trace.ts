import { setTimeout as delay } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { addressFamily, canonicalAddress } from '../../schemas/address.ts'
import { reasons } from '../drivers/xdp/layout.ts'
import type { Reason, TraceEvent, TraceFilter } from '../drivers/xdp/trace/trace-layout.ts'
import { addSettings, readSettings } from './options.ts'
import { printJson } from './print.ts'

const SETTINGS = ['node', 'bpffs'] as const
const LOOK_MS = 200
const DEFAULT_RATE = 50

interface TraceOptions {
  readonly service?: Omit<TraceFilter, 'reasons'>
  readonly reason?: Reason[]
  readonly count?: number
  readonly seconds?: number
  readonly rate: number
  readonly json?: boolean
}

export const traceCommand = (): Command =>
  addSettings(new Command('trace'), SETTINGS)
    .description('Sample packets on this load balancer: where each goes, and why.')
    .option(
      '--service <vip[:port[-port]][/protocol]>',
      'of this destination, for instance 203.0.113.10:443/tcp or [2001:db8::10]:443',
      readService,
    )
    .option(
      '--reason <reason...>',
      'what became of it, by the names of docs/xdp.md; a part of a name stands for all with it, as drop',
      readReason,
    )
    .option('--count <n>', 'end after so many', readNumber)
    .option('--seconds <n>', 'end after so long', readNumber)
    .option(
      '--rate <n>',
      'at most so many on each CPU in about a second; others are not told of',
      readNumber,
      DEFAULT_RATE,
    )
    .option('--json', 'print one JSON value at the end: {events, lost}')
    .addHelpText('after', '\nExit codes: 0 ended as asked, or by Ctrl-C; 1 it cannot be traced.')
    .action(async (options: TraceOptions, command: Command) => {
      const { node, bpffs } = readSettings(command, SETTINGS, ['node'])
      await runTrace(node, bpffs, options)
    })

async function runTrace(node: string, bpffs: string, options: TraceOptions): Promise<void> {
  const { service, reason, count = Infinity, seconds = Infinity, rate, json = false } = options
  const { startTrace } = await import('../drivers/xdp/trace/trace.ts')
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => ended.abort())
  const clock = createClock()
  const shown: TraceEvent[] = []
  const take = (event: TraceEvent): void => {
    if (shown.push(event) > count) shown.length = count
    else if (!json) process.stdout.write(`${renderEvent(event, clock)}\n`)
  }
  const filter: TraceFilter = { ...service, ...(reason && { reasons: reason }) }
  const start = () => startTrace({ bpffs, node, filter, rate, take, now: process.hrtime.bigint })
  let trace = start()
  if (!json) process.stdout.write(`${HEAD}\n`)
  const until = performance.now() + seconds * 1000
  let lost = 0
  while (!ended.signal.aborted && shown.length < count && performance.now() < until) {
    await delay(LOOK_MS, undefined, { signal: ended.signal }).catch(() => {})
    if (trace.look()) continue
    // A change of settings: the next program samples from now on.
    lost += trace.lost()
    trace[Symbol.dispose]()
    trace = start()
  }
  lost += trace.lost()
  trace[Symbol.dispose]()
  if (json) printJson({ events: shown.map(event => ({ ...event, at: clock(event.at) })), lost })
  else if (lost > 0) process.stderr.write(`${lost} more for which there was no room.\n`)
}

/** From the monotonic clock to the time of day. */
function createClock(): (at: bigint) => string {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()
  return at => new Date(Number((at + offset) / 1_000_000n)).toISOString()
}

const COLUMNS = [12, 5, 46, 46, 7, 8] as const
const pad = (cells: readonly string[]): string =>
  cells.map((cell, i) => cell.padEnd(COLUMNS[i] ?? 0)).join(' ')
const HEAD = pad(['time', 'proto', 'source', 'destination', 'bytes', 'action', 'reason, backend'])

function renderEvent(event: TraceEvent, clock: (at: bigint) => string): string {
  const { protocol, source, sourcePort, vip, port, length, action, reason, backend } = event
  return pad([
    clock(event.at).slice(11, 23),
    protocol,
    renderEnd(source, sourcePort),
    renderEnd(vip, port),
    String(length),
    action,
    backend === null ? reason : `${reason} → ${backend}`,
  ])
}

function renderEnd(address: string | null, port: number | null): string {
  if (address === null) return '–'
  if (port === null) return address
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

const SERVICE = /^(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5})(?:-(\d{1,5}))?)?(?:\/(tcp|udp))?$/

function readService(text: string): Omit<TraceFilter, 'reasons'> {
  const [, ipv6, ipv4, port, endPort, protocol] = SERVICE.exec(text) ?? []
  try {
    const vip = canonicalAddress(ipv6 ?? ipv4 ?? '')
    const ports = [port, endPort].filter(each => each !== undefined).map(Number)
    if (addressFamily(vip) === (ipv6 === undefined ? 4 : 6) && ports.every(each => each > 0 && each < 65_536))
      return {
        vip,
        ...(port !== undefined && { port: Number(port) }),
        ...(endPort !== undefined && { endPort: Number(endPort) }),
        ...(protocol !== undefined && { protocol: protocol as 'tcp' | 'udp' }),
      }
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError(`${text} is no VIP:port/protocol. IPv6: [2001:db8::10]:443/tcp.`)
}

function readReason(text: string, before: Reason[] | undefined): Reason[] {
  const found = reasons.filter(reason => reason === text || reason.startsWith(`${text}_`))
  if (found.length === 0)
    throw new InvalidArgumentError(`There is no reason ${text}. There are: ${reasons.join(', ')}.`)
  return [...(before ?? []), ...found]
}

function readNumber(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 1_000_000)
    throw new InvalidArgumentError(`${text} is no number from 1 to 1000000.`)
  return number
}
