import { dirname, join } from 'node:path'
import Table from 'cli-table3'
import { Command, InvalidArgumentError } from 'commander'
import type { DecapStatus } from '../drivers/xdp/decap/decap.ts'
import { encodePrefix } from '../drivers/xdp/decap/decap-layout.ts'
import { addSettings, readSettings } from './options.ts'
import { printJson } from './print.ts'

const SETTINGS = ['bpffs', 'bpfObject'] as const
const GUE_PORT = 6080

export const decapCommand = (): Command =>
  new Command('decap')
    .description('On a backend: take off the outer headers that the load balancers put on.')
    .addCommand(attachCommand())
    .addCommand(detachCommand())
    .addCommand(statusCommand())

interface AttachOptions {
  readonly vip: string[]
  readonly allow: string[]
  readonly guePort: number
}

const attachCommand = (): Command =>
  addSettings(new Command('attach'), SETTINGS)
    .description(
      'Attach the decapsulator to an interface, or give the attached one other settings, between two packets. What it needs stays in the kernel.',
    )
    .argument('<interface>', 'where packets of the load balancers arrive')
    .requiredOption('--vip <prefix...>', 'VIPs of this backend: addresses or prefixes', collectPrefix)
    .requiredOption(
      '--allow <prefix...>',
      'outer sources of the load balancers (sources of their Node manifests)',
      collectPrefix,
    )
    .option('--gue-port <port>', 'the UDP port of GUE', readPort, GUE_PORT)
    .addHelpText('after', '\nExit codes: 0 attached, 1 not.')
    .action(async (name: string, { vip, allow, guePort }: AttachOptions, command: Command) => {
      const { bpffs, bpfObject } = readSettings(command, SETTINGS)
      const { attachDecap } = await import('../drivers/xdp/decap/decap.ts')
      const objectFile = join(dirname(bpfObject), 'decap.bpf.o')
      await attachDecap(objectFile, { bpffs, interface: name }, { vips: vip, allowed: allow, guePort })
    })

const detachCommand = (): Command =>
  addSettings(new Command('detach'), ['bpffs'])
    .description('Take the decapsulator off an interface; nothing to do when there is none.')
    .argument('<interface>')
    .addHelpText('after', '\nExit codes: 0 it is not attached any more, 1 it cannot be detached.')
    .action(async (name: string, _: object, command: Command) => {
      const { bpffs } = readSettings(command, ['bpffs'])
      const { detachDecap } = await import('../drivers/xdp/decap/decap.ts')
      if (!detachDecap({ bpffs, interface: name }))
        process.stderr.write(`${name} has no decapsulator of Ballast.\n`)
    })

const statusCommand = (): Command =>
  addSettings(new Command('status'), ['bpffs'])
    .description('What the decapsulators of this machine take off, and what they counted.')
    .argument('[interface]', 'one interface; all when left out')
    .option('--json', 'print one JSON value: [{interface, mode, vips, allowed, guePort, counters}]')
    .addHelpText('after', '\nExit codes: 0 attached, 2 one is not, or there is none, 1 it cannot be read.')
    .action(async (name: string | undefined, { json }: { json?: boolean }, command: Command) => {
      const { bpffs } = readSettings(command, ['bpffs'])
      const { readDecap } = await import('../drivers/xdp/decap/decap.ts')
      const all = await readDecap(bpffs)
      const shown = all.filter(each => name === undefined || each.interface === name)
      if (json) printJson(shown)
      else process.stdout.write(shown.map(render).join('\n'))
      if (shown.length === 0) process.stderr.write(`No decapsulator is pinned under ${bpffs}.\n`)
      process.exitCode = shown.length > 0 && shown.every(({ mode }) => mode !== 'none') ? 0 : 2
    })

function render(status: DecapStatus): string {
  const { mode, vips, allowed, guePort, counters } = status
  const table = new Table({ head: ['reason', 'packets', 'bytes'], style: { head: [], border: [] } })
  for (const [reason, { packets, bytes }] of Object.entries(counters))
    if (packets > 0) table.push([reason, packets, bytes])
  const lines = [
    `${status.interface}: ${mode === 'none' ? 'not attached' : `attached, ${mode}`}`,
    `  VIPs      ${vips.join(', ')}`,
    `  allowed   ${allowed.join(', ')}`,
    `  GUE port  ${guePort}`,
  ]
  return `${lines.join('\n')}\n${table.length > 0 ? `${table.toString()}\n` : ''}`
}

/** Each given once more is added. */
function collectPrefix(text: string, before: string[] | undefined): string[] {
  try {
    encodePrefix(text)
  } catch {
    throw new InvalidArgumentError(`${text} is no address and no prefix, such as 203.0.113.0/24.`)
  }
  return [...(before ?? []), text]
}

function readPort(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new InvalidArgumentError(`${text} is no port.`)
  return port
}
