import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import koffi from 'koffi'
import {
  createXdpDriver,
  type XdpDriver,
  type XdpDriverOptions,
} from '../../../reconciler/drivers/xdp/driver.ts'
import { unmountFileSystem } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { type NodePins, nodePins } from '../../../reconciler/drivers/xdp/node-pins.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { buildObjects, objectFile } from '../../bpf/balancer.ts'

export { needsRoot } from '../../bpf/balancer.ts'

const CLONE_NEWNET = 0x40000000

export interface XdpLab {
  readonly directory: string
  readonly bpffs: string
  readonly objectFile: string
  /** Two ends of one veth pair, both up; the second has a dot in its name. */
  readonly interfaces: readonly [string, string]
  /** The same node each time, as another process would open it. */
  open(options?: Partial<XdpDriverOptions>): XdpDriver
  pins(node?: string): NodePins
}

const NODE = 'lb-1.example'

/**
 * A network namespace for this process and what it starts, with a veth pair, and a BPF file system. The
 * kernel removes the namespace with the process; the rest goes after the suite.
 */
export async function makeXdpLab(): Promise<XdpLab> {
  const unshare = koffi.load(null).func('int unshare(int flags)')
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('no network namespace of its own')
  const interfaces = ['wire0', 'wire1.7'] as const
  await runCommand('ip', ['link', 'add', interfaces[0], 'type', 'veth', 'peer', 'name', interfaces[1]])
  for (const name of interfaces) await runCommand('ip', ['link', 'set', name, 'up'])

  const directory = mkdtempSync(join(tmpdir(), 'ballast-xdp-'))
  const bpffs = join(directory, 'bpf')
  after(() => {
    unmountFileSystem(bpffs)
    rmSync(directory, { recursive: true })
  })
  await buildObjects()
  const object = join(directory, 'lb.bpf.o')
  copyFileSync(objectFile('lb'), object)
  return {
    directory,
    bpffs,
    objectFile: object,
    interfaces,
    open: options => createXdpDriver({ node: NODE, bpffs, objectFile: object, ...options }),
    pins: (node = NODE) => nodePins(bpffs, node),
  }
}
