import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { attachXdp } from '../../../reconciler/drivers/xdp/libbpf/links.ts'
import { openObject } from '../../../reconciler/drivers/xdp/libbpf/object.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { CONTENDERS, type Contender, LINK, OUT, OWN, PORT, ROWS, VIP } from '../contenders.ts'

/**
 * Run in the guest: `node measure.ts ORDER`. The packet generator of the kernel (pktgen) and all that forwards its packets
 * share one CPU. Writes a `Window` per contender and round, as JSON lines.
 */
export interface Order {
  readonly report: string
  readonly rounds: number
  /** A bundle. */
  readonly applyRows: string
  /** Objects. */
  readonly relay: string
  readonly balancer: string
}

export interface Window {
  readonly contender: string
  /** Packets per second that came through. */
  readonly rate: number
}

const order = JSON.parse(process.argv[2] ?? '') as Order
const FLOWS = 1000
const WARM_MS = 300
const WINDOW_MS = 1000
const PKTGEN = '/proc/net/pktgen'

const run = async (file: string, ...args: string[]): Promise<string> =>
  (await runCommand(file, args, { timeout: 120_000 })).stdout
const inside = (name: string, ...command: string[]) => run('ip', 'netns', 'exec', name, ...command)
const indexOf = (device: string): number => Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8'))

/** Generator ⇒ `sender`–`relay` ⇒ `wire`–lb0 of the namespace, and back or out of it. */
const devicesOf = (number: number) => ({ sender: `s${number}`, relay: `r${number}`, wire: `w${number}` })

interface Place {
  readonly contender: Contender
  readonly sender: string
  /** Packets that came through so far. */
  through(): number
  /** Of the load balancer. */
  readonly linkAddress: string
}

async function makePlace(contender: Contender, number: number): Promise<Place> {
  const { name, counted, commands } = contender
  const { sender, relay, wire } = devicesOf(number)
  await run('ip', 'netns', 'add', name)
  await run('ip', 'link', 'add', sender, 'type', 'veth', 'peer', 'name', relay)
  await run('ip', 'link', 'add', wire, 'type', 'veth', 'peer', 'name', LINK, 'netns', name)
  for (const device of [sender, relay, wire]) await run('ip', 'link', 'set', device, 'up')
  for (const device of ['lo', LINK]) await run('ip', '-n', name, 'link', 'set', device, 'up')
  await run('ip', '-n', name, 'addr', 'add', '10.1.0.1/16', 'dev', LINK)
  const sysctls = ['ip_forward=1', 'conf.all.rp_filter=0', `conf.${LINK}.rp_filter=0`]
  await inside(name, 'sysctl', '-qw', ...sysctls.map(sysctl => `net.ipv4.${sysctl}`))
  await run('ip', '-n', name, 'link', 'add', OUT, 'type', 'dummy')
  await run('ip', '-n', name, 'link', 'set', OUT, 'up')
  await run('ip', '-n', name, 'addr', 'add', '10.9.0.254/24', 'dev', OUT)
  for (const [file, ...args] of commands) await inside(name, file, ...args)
  // Then a veth device is polled as a network card is; with a program it is so anyway.
  await inside(name, 'ethtool', '-K', LINK, 'gro', 'on')
  await attachPrograms(contender, { relay, wire })
  const [link] = JSON.parse(await run('ip', '-n', name, '-j', 'link', 'show', LINK)) as { address: string }[]
  const pid = await holdNamespace(name)
  return {
    contender,
    sender,
    linkAddress: link!.address,
    through() {
      if (counted === 'returned') return readCounters('self', wire).received
      return counted === 'left' ? readCounters(pid, OUT).sent : readCounters(pid, LINK).received
    },
  }
}

async function attachPrograms(
  { name, program }: Contender,
  { relay, wire }: { relay: string; wire: string },
): Promise<void> {
  const object = openObject(order.relay, 'relay')
  const target = Buffer.alloc(4)
  target.writeUInt32LE(indexOf(wire))
  object.setConstant('target', target)
  await object.load()
  for (const [device, attached] of [
    [relay, 'relay'],
    [wire, 'discard'],
  ] as const)
    if (typeof attachXdp(object.programFd(attached), indexOf(device), 'native') === 'number')
      throw new Error(`no ${attached} on ${device}`)
  if (program !== undefined)
    await run(
      'ip',
      '-n',
      name,
      'link',
      'set',
      'dev',
      LINK,
      'xdpdrv',
      'object',
      order.relay,
      'program',
      program,
    )
  if (name !== OWN) return
  const rows = JSON.stringify({ node: name, bpffs: '/run/bpf', objectFile: order.balancer, rows: ROWS })
  const output = await run('nsenter', `--net=/run/netns/${name}`, process.execPath, order.applyRows, rows)
  const { failed } = JSON.parse(output) as { failed: unknown[] }
  if (failed.length > 0) throw new Error(`the driver: ${JSON.stringify(failed)}`)
}

/** A process in the namespace, whose view of it can be read. */
async function holdNamespace(name: string): Promise<number> {
  const { pid } = spawn('nsenter', [`--net=/run/netns/${name}`, 'sleep', '1000'], { stdio: 'ignore' })
  for (let tries = 0; tries < 500; tries += 1) {
    if (readFileSync(`/proc/${pid}/net/dev`, 'utf8').includes(`${OUT}:`)) return pid!
    await delay(20)
  }
  throw new Error(`no process came into ${name}`)
}

/** Of /proc/PID/net/dev: the second number is that of received packets, the tenth that of sent ones. */
function readCounters(pid: number | 'self', device: string): { received: number; sent: number } {
  const line = new RegExp(`${device}:(.*)`).exec(readFileSync(`/proc/${pid}/net/dev`, 'utf8'))?.[1] ?? ''
  const numbers = line.trim().split(/\s+/).map(Number)
  return { received: numbers[1]!, sent: numbers[9]! }
}

async function measure({ contender, sender, through, linkAddress }: Place): Promise<Window> {
  const tell = (file: string, ...lines: string[]): void => {
    for (const line of lines) writeFileSync(`${PKTGEN}/${file}`, `${line}\n`)
  }
  tell('kpktgend_0', 'rem_device_all', `add_device ${sender}`)
  tell(
    sender,
    ...['count 0', 'delay 0', 'pkt_size 60', 'clone_skb 0', `dst_mac ${linkAddress}`, `dst ${VIP}`],
    ...['src_min 10.1.0.2', 'src_max 10.1.0.2', `udp_dst_min ${PORT}`, `udp_dst_max ${PORT}`],
    ...['udp_src_min 1024', `udp_src_max ${1024 + FLOWS}`, 'flag UDPSRC_RND'],
  )
  const running = spawn('sh', ['-c', `echo start > ${PKTGEN}/pgctrl`], { stdio: 'ignore' })
  const ended = once(running, 'exit')
  await delay(WARM_MS)
  const read = () => ({ at: performance.now(), packets: through() })
  const before = read()
  await delay(WINDOW_MS)
  const after = read()
  tell('pgctrl', 'stop')
  await ended
  return {
    contender: contender.name,
    rate: (1000 * (after.packets - before.packets)) / (after.at - before.at),
  }
}

// Nothing but the generator's packets is on the links.
await run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
const places: Place[] = []
for (const [number, contender] of CONTENDERS.entries()) places.push(await makePlace(contender, number))
for (let round = 0; round <= order.rounds; round += 1)
  for (const place of places) {
    const window = await measure(place)
    // The first round warms up.
    if (round > 0) appendFileSync(order.report, `${JSON.stringify(window)}\n`)
  }
process.exit(0)
